"""Attempts drawn at random, as a run of six arms leaves them. They are nobody's results."""

from __future__ import annotations

import random

from memcollab.bench.attempts import Attempt
from memcollab.bench.tables import Ledger

ARMS = ("none", "own", "other", "paper-v1", "default", "random")
SUITES = ("gsm8k", "math500", "mbpp", "humaneval", "house-rules")
AGENTS = ("coder-0.5b", "coder-1.5b")
BOTH = "+".join(AGENTS)
_BASE = {"gsm8k": 0.45, "math500": 0.3, "mbpp": 0.4, "humaneval": 0.35, "house-rules": 0.1}
_GAIN = {"own": 0.04, "other": -0.09, "paper-v1": 0.05, "default": 0.12, "random": -0.02}
_FAILURES = ("wrong", "wrong", "crashed", "unreadable", "out-of-turns", "never-finished")

LEDGERS = tuple(
    Ledger(arm, input_tokens=90_000, output_tokens=8_000, requests=60, constraints=55, minutes=12)
    for arm in ARMS[1:]
)


def synthetic_attempts(
    tasks: int = 50, arms: tuple[str, ...] = ARMS, seeds: tuple[int, ...] = (0,), draw: int = 7
) -> list[Attempt]:
    """One attempt per arm × suite × agent × task × seed; one in sixty has no verdict."""
    chance = random.Random(draw)
    return [
        _attempt(chance, arm, suite, agent, f"{suite}/{number}", seed)
        for suite in SUITES
        for agent in AGENTS
        for number in range(tasks)
        for seed in seeds
        for arm in arms
    ]


def _source(arm: str, agent: str) -> str | None:
    other = AGENTS[1 - AGENTS.index(agent)]
    one = {"none": None, "own": agent, "other": other}
    return one.get(arm, BOTH)


def _attempt(
    chance: random.Random, arm: str, suite: str, agent: str, task: str, seed: int
) -> Attempt:
    strength = 0.15 if agent == "coder-1.5b" else 0.0
    ease = random.Random(task + agent).uniform(-0.35, 0.35)
    gain = _GAIN.get(arm.split("-k")[0], 0.0) * (2 if suite == "house-rules" else 1)
    solved = chance.random() < _BASE[suite] + strength + ease + gain
    broken = chance.random() < 1 / 60
    turns = chance.choice((1, 2, 2, 3, 4)) - (arm == "default" and chance.random() < 0.3)
    guidance = 0 if arm == "none" else chance.randint(60, 140)
    return Attempt(
        arm=arm,
        suite=suite,
        agent=agent,
        source=_source(arm, agent),
        task_id=task,
        seed=seed,
        solved=None if broken else solved,
        failure=None if broken or solved else chance.choice(_FAILURES),
        error="the server closed the connection" if broken else None,
        turns=max(turns, 1),
        input_tokens=turns * (420 + guidance),
        output_tokens=turns * chance.randint(80, 220),
        guidance_tokens=guidance,
        seconds=turns * chance.uniform(2, 6),
        key=f"{arm}-{suite}-{agent}-{task}-{seed}",
        log=f"logs/{arm}-{suite}-{agent}.eval",
        sample=f"{task}#{seed}",
    )
