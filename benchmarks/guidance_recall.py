"""How many recalled constraints does a small model follow, and where do they best stand?

    python benchmarks/guidance_recall.py --bank BANK --agent coder-0.5b@http://127.0.0.1:8116/v1 \
        --limit 1 --place before

Chosen on validation tasks only: build tasks of `house-rules` (of ``--levels``) without the notice
that hangs on the door of build tasks. No test task is among them. The constraints are those that
the bank recalls for a task, but for those that it would not hold without that very task.
``--limit`` is the number of constraints at most, ``--place`` where they stand, ``--min-anchor`` how
near to the task a constraint's own words have to be. Logs go to
``--log-dir`` and are not run twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from memcollab import MemCollab
from memcollab.bench.evaluate import Evaluation, Job, Settings
from memcollab.bench.plan import known
from memcollab.bench.roster import AgentSpec
from memcollab.bench.statistics import share
from memcollab.bench.suites.house_rules import HouseTask, as_tested, generate
from memcollab.guide import Place, write_guidance
from memcollab.recipe import DEFAULT
from memcollab.records import Agent, Constraint

SETTINGS = Settings(turns=4, max_tokens=320)
BUDGET = 400
CANDIDATES = 20


def main() -> None:
    """Run what is missing, and print the share with a 95 % interval (Wilson), level by level."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bank", required=True)
    parser.add_argument("--agent", required=True)
    parser.add_argument("--limit", type=int, default=3)
    parser.add_argument("--place", choices=["after", "before"], default="after")
    parser.add_argument("--min-anchor", type=float, default=0.0)
    parser.add_argument("--levels", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--log-dir", type=Path, default=Path("runs/guidance-recall"))
    given = parser.parse_args()
    spec = AgentSpec.parse(given.agent)
    made = [each for each in generate(0) if each.part == "build" and each.level in given.levels]
    method = DEFAULT.model_copy(update={"min_anchor": given.min_anchor})
    with MemCollab(given.bank, recipe=method, create=False) as memory:
        jobs = [_job(memory, each, spec, given.limit, given.place) for each in made]
    given.log_dir.mkdir(parents=True, exist_ok=True)
    evaluation = Evaluation(spec, SETTINGS, given.log_dir, parallel=given.parallel)
    if missing := evaluation.missing(jobs):
        evaluation.run(missing)
    done = known(given.log_dir)
    for level in given.levels:
        of_level = [job for each, job in zip(made, jobs, strict=True) if each.level == level]
        ended = [done.get((spec.name, job.digest(SETTINGS))) for job in of_level]
        judged = [bool(one.solved) for one in ended if one is not None and one.solved is not None]
        estimate = share(sum(judged), len(judged))
        print(
            f"{spec.name} limit {given.limit} {given.place} the task, anchor {given.min_anchor}, "
            f"level {level}: "
            f"solved {sum(judged)} of {len(judged)} "
            f"({estimate.low:.2f} to {estimate.high:.2f})"
        )


def _job(memory: MemCollab, made: HouseTask, spec: AgentSpec, limit: int, place: Place) -> Job:
    task = as_tested(made.task)
    agent = Agent(model=spec.name, harness=SETTINGS.harness)
    found = memory.recall(made.task.task, agent=agent, limit=CANDIDATES, store=False)
    strange = [
        entry.constraint
        for entry in found.entries
        if _known_without(memory, entry.constraint, made.task.task)
    ]
    written = write_guidance(strange[:limit], BUDGET)
    return Job(task, written.text, written.shown, place)


def _known_without(memory: MemCollab, constraint: Constraint, task: str) -> bool:
    sources = memory.bank.provenance(constraint.id).sources
    return any(source.task.text != task for source in sources)


if __name__ == "__main__":
    main()
