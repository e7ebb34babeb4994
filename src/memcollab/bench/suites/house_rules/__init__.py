"""``house-rules``: ten small Python tools whose conventions are not in their signatures.

The paper's suites hold little that a model could not know. Here a model has to find out what the
house does: amounts in the smallest coin, days and times in one written form, identifiers as they
are printed, a call that comes before another, pages, codes that mean "again", a second word before
what cannot be undone. Some of it shows in an error that only hints, some in what a call returns,
some nowhere. In the build part it also hangs on the door: importing the tool prints it, which is
after the first program was written. Runs of several models differ there by who found out and
changed his ways; in the test part nothing hangs on the door.

    tools/          what the agents import, one file each that stands alone in their sandbox, which
                    is why each reads and writes its own state; conventions are comments in it
    situations.py   what is to be done: sentences, start states, programs that do it and do not
    tasks.py        situations → tasks, seeded, in two parts

Ten tools, sixteen tasks each: eight to build from and eight to test on, which share conventions
and nothing else (sentences, names, amounts). The level is in the task's id
(``house-rules-kiosk-build-l1-02``):

* 0: one word of the house, the same in every task (two tasks a part);
* 1: one convention, one or two calls (three tasks a part);
* 2: two conventions, or one and a calculation (two tasks a part);
* 3: an order of calls, pages, a retry, a confirmation (one task a part).

A task is judged by the state that is left, never by words. Running a program that solves it again
is harmless, and so are failed tries before it, below level 3. What level 3 undoes or burns too
early may stay undone or burnt.

Not prevented: an agent that reads the tool's source (it can be imported, so it can be read) or
writes the state file itself finds out or gets by without calling it. Judging records whose
programs name these files (`memcollab.bench.judge.looks_behind`), and the report counts them. Of the
published runs there is none.
"""

from __future__ import annotations

import re

from memcollab.bench.suites.house_rules.situations import CONVENTIONS
from memcollab.bench.suites.house_rules.tasks import NOTICE, HouseTask, generate
from memcollab.bench.tasks import BenchTask
from memcollab.recall import same_task

__all__ = ["CONVENTIONS", "HouseTask", "as_tested", "generate", "is_drawn", "load"]

_SEEDED = re.compile(r"house-rules-\S+-s(\d{1,9})")


def load(test_seed: int = 0) -> tuple[list[BenchTask], list[BenchTask]]:
    """The build part, 80 tasks, and the test part of a seed: 80 tasks, less those that seed 0 has
    by chance, too. With another seed than 0, a result can be confirmed on tasks that nobody saw
    when it was found: other names, things and amounts in the same sentences."""
    first = generate(0)
    build, test = ([each.task for each in first if each.part == part] for part in ("build", "test"))
    if test_seed == 0:
        return build, test
    known = [each.task.task for each in first]
    drawn = [each.task for each in generate(test_seed) if each.part == "test"]
    fresh = [each for each in drawn if not any(same_task(each.task, other) for other in known)]
    return build, fresh


def as_tested(task: BenchTask) -> BenchTask:
    """The task without the notice on the door; one that has none is returned as it is."""
    if NOTICE not in task.files:
        return task
    files = {name: text for name, text in task.files.items() if name != NOTICE}
    return task.model_copy(update={"files": files})


def is_drawn(task_id: str) -> bool:
    """Whether that is a task of this suite, whatever seed draws it."""
    seeded = _SEEDED.fullmatch(task_id)
    return any(each.task.task_id == task_id for each in generate(int(seeded[1]) if seeded else 0))
