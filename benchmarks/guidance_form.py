"""In which form does a small model follow guidance? Chosen on validation tasks only.

    python benchmarks/guidance_form.py --agent coder-1.5b@http://127.0.0.1:8101/v1 --form call

The tasks are the first of each tool's build tasks on levels 1 and 2 of `house-rules`, without the
notice that hangs on the door of build tasks: no test task is among them. The constraints are
hand-written (`guidance_form.toml`), one for level 1 and two for level 2, so that what is measured
is the form alone: ``words`` describe the form of a value and give one (as 450 for 4.50 euros),
``call`` shows a call on invented values instead. ``--recite`` asks the agent to say first what
applies; ``--before`` puts the guidance before the task. Logs go to ``--log-dir`` and are not run
twice.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from memcollab.bench.evaluate import Evaluation, Job, Settings
from memcollab.bench.plan import known
from memcollab.bench.roster import AgentSpec
from memcollab.bench.statistics import share
from memcollab.bench.suites.house_rules import HouseTask, as_tested, generate
from memcollab.guide import write_guidance
from memcollab.records import Category, Constraint

SETTINGS = Settings(turns=4, max_tokens=400)
BUDGET = 400


def main() -> None:
    """Run what is missing of one form, and print its share with a 95 % interval (Wilson)."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--agent", required=True)
    parser.add_argument("--form", choices=["none", "words", "call"], required=True)
    parser.add_argument("--recite", action="store_true")
    parser.add_argument("--before", action="store_true")
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--log-dir", type=Path, default=Path("runs/guidance-form"))
    given = parser.parse_args()
    rules = _rules(given.form)
    jobs = [
        _job(made, rules, recite=given.recite, before=given.before)
        for made in generate(0)
        if made.part == "build" and made.level in (1, 2) and made.task.task_id.endswith("01")
    ]
    given.log_dir.mkdir(parents=True, exist_ok=True)
    spec = AgentSpec.parse(given.agent)
    evaluation = Evaluation(spec, SETTINGS, given.log_dir, parallel=given.parallel)
    if missing := evaluation.missing(jobs):
        evaluation.run(missing)
    done = known(given.log_dir)
    ended = [done.get((spec.name, job.digest(SETTINGS))) for job in jobs]
    judged = [one for one in ended if one is not None and one.solved is not None]
    solved = sum(bool(one.solved) for one in judged)
    estimate = share(solved, len(judged))
    print(
        f"{spec.name} {given.form} recite={given.recite} before={given.before}: solved {solved} of "
        f"{len(judged)} ({estimate.low:.2f} to {estimate.high:.2f}); "
        f"{len(jobs) - len(judged)} without a verdict"
    )


def _rules(form: str) -> dict[tuple[str, int], Constraint]:
    """The constraints of a form by tool and place; none for the form ``none``."""
    if form == "none":
        return {}
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    return {
        (tool, place): Constraint(
            when=rule["when"],
            enforce=f"{rule['enforce']}, {rule[form]}",
            avoid=rule["avoid"],
            category=Category(name="tool-use"),
            scope="harness",
            harness=SETTINGS.harness,
        )
        for tool, rules in table.items()
        for place, rule in enumerate(rules)
    }


def _job(
    made: HouseTask, rules: dict[tuple[str, int], Constraint], *, recite: bool, before: bool
) -> Job:
    task = as_tested(made.task)
    fitting = [
        rules[made.tool, place] for place in range(made.level) if (made.tool, place) in rules
    ]
    written = write_guidance(fitting, BUDGET, recite=recite)
    return Job(task, written.text, written.shown, "before" if before else "after")


if __name__ == "__main__":
    main()
