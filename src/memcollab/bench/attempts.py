"""One attempt at one task under one arm: the record that running writes and reporting reads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from memcollab.records import Record

Failure = Literal["wrong", "crashed", "unreadable", "out-of-turns", "never-finished"]


class Attempt(Record):
    """One record per arm × suite × agent × task × seed.

    ``solved`` is None where there is no verdict: the model's server or the sandbox failed, or time
    ran out. ``error`` says why then. Such a record is counted, and is never a wrong answer.
    """

    arm: str
    suite: str
    agent: str = Field(description="the model that attempted the task")
    source: str | None = Field(
        default=None, description="models whose runs made the memory, joined by +"
    )
    task_id: str
    group: str | None = Field(
        default=None, description="tasks of one group are alike: the module that they ask to use"
    )
    seed: int = 0
    solved: bool | None
    failure: Failure | None = Field(
        default=None,
        description="how an unsolved attempt failed; `crashed` is the agent's own code that raises",
    )
    error: str | None = Field(default=None, description="why there is no verdict")
    opened: bool | None = Field(
        default=None,
        description="whether the agent's programs name the file of the task's tool or of its "
        "state; None without a tool, and in logs from before this was looked at",
    )
    turns: int = Field(default=0, description="model calls")
    input_tokens: int = Field(default=0, description="read by the model, guidance included")
    output_tokens: int = 0
    guidance_tokens: int = Field(
        default=0, description="tokens of the guidance, once; estimated by guide.count_tokens"
    )
    seconds: float = Field(default=0.0, description="working time, without waiting for the server")
    constraints: tuple[str, ...] = Field(default=(), description="ids of those that were shown")
    category: str | None = Field(default=None, description="where recall filed the task")
    key: str = Field(description="what was run: task, agent, settings, seed and guidance, hashed")
    log: str | None = Field(default=None, description="the Inspect log that holds it")
    sample: str | None = Field(default=None, description="its sample id in that log")

    @property
    def judged(self) -> bool:
        """Whether it has a verdict."""
        return self.solved is not None
