"""Turn the Inspect logs that ``bench collect`` made into ``examples/runs/*.jsonl``.

    python examples/export_runs.py LOG_DIR

Chat JSONL in place of the logs: text that can be read and compared, at a tenth of the size. Labels
are those of ``tasks/tasks.jsonl``; a run on a task that is not there is left out, and so is the
second of two runs of a model on one task.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import orjson

from memcollab.records import Category, Trajectory
from memcollab.sources import chat_line, read_runs

HERE = Path(__file__).parent


def main(log_dir: str) -> None:
    """Write one file per model and say how many runs went in, and which did not."""
    rows = (HERE / "tasks" / "tasks.jsonl").read_bytes().splitlines()
    tasks = {row["task_id"]: row for row in map(orjson.loads, rows)}
    by_model: dict[str, dict[str, Trajectory]] = defaultdict(dict)
    for run in read_runs([log_dir]):
        if not isinstance(run, Trajectory):
            print(f"left out: {run}")
        elif tasks.get(run.task.key or "", {}).get("task") != run.task.text:
            print(f"left out: {run.origin}: its task is not among the examples")
        else:
            label = Category.parse(tasks[str(run.task.key)]["category"])
            task = run.task.model_copy(update={"category": label})
            by_model[run.agent.model].setdefault(task.key, run.model_copy(update={"task": task}))
    for model, runs in sorted(by_model.items()):
        lines = [orjson.dumps(chat_line(runs[key])) for key in sorted(runs)]
        (HERE / "runs" / f"{model}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
        solved = sum(run.verdict.solved is True for run in runs.values())
        print(f"{model}: {len(runs)} runs, {solved} solved")


main(sys.argv[1])
