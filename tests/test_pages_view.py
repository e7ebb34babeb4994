"""What the pages decide before anything is drawn: pure functions over records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from memcollab.bank import Change, Taught
from memcollab.errors import UsageError
from memcollab.records import (
    Agent,
    Category,
    Constraint,
    Effect,
    EvidenceReport,
    LearnReport,
    Saving,
    Step,
    Support,
    Task,
    ToolCall,
    Trajectory,
    Usage,
    Verdict,
)
from memcollab.serve.jobs import Job
from memcollab.serve.pages import chart, parting, render, session, view

STEPS = st.builds(
    Step,
    role=st.sampled_from(["user", "assistant", "tool"]),
    content=st.text(alphabet="ab \n", max_size=12),
    tool_calls=st.lists(
        st.builds(ToolCall, name=st.sampled_from("xy"), arguments=st.sampled_from(["{}", "[]"])),
        max_size=2,
    ).map(tuple),
)
RUNS = st.lists(STEPS, max_size=8).map(tuple)
UNITS = st.floats(-1, 1)
# How long an example takes says more of the machine than of the code.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(steps: Sequence[Step], *, solved: bool = True) -> Trajectory:
    return Trajectory(
        task=Task(text="x"),
        agent=Agent(model="m"),
        steps=tuple(steps),
        verdict=Verdict(solved=solved),
    )


def effect(
    uplift: float | None = 0.1,
    *,
    low: float = -0.2,
    high: float = 0.4,
    subject: str = "c-1",
    agent: str | None = None,
    shown: int = 10,
    withheld: int = 10,
) -> Effect:
    known = uplift is not None
    return Effect(
        subject=subject,
        agent=agent,
        says="not known",
        uplift=uplift,
        low=low if known else None,
        high=high if known else None,
        confidence=0.95,
        shown=shown,
        withheld=withheld,
        unjudged=0,
        words="",
    )


def constraint(number: int = 1, **given: object) -> Constraint:
    words = {"when": f"when {number}", "enforce": "e", "avoid": "a"}
    return Constraint(category=Category(name="algebra"), **{**words, **given})


# ---- two runs beside each other


@patient
@given(RUNS, RUNS)
def test_two_runs_beside_each_other_are_still_the_two_runs(
    first: tuple[Step, ...], second: tuple[Step, ...]
) -> None:
    """Every step stands once on its side, in order within its turn, with its words and calls."""
    found = parting.part(run(first), run(second))
    for steps, shown in (
        (first, [row.preferred for row in found.rows if row.preferred]),
        (second, [row.other for row in found.rows if row.other]),
    ):
        every = sorted([*found.shared, *shown], key=lambda step: step.number)
        assert [step.number for step in every] == list(range(1, len(steps) + 1))
        assert [step.text for step in every] == [step.content for step in steps]
        assert [len(step.calls) for step in every] == [len(step.tool_calls) for step in steps]
        agents = [step.number for step in shown if step.speaker == "agent"]
        assert agents == sorted(agents)


@patient
@given(RUNS, RUNS, RUNS)
def test_what_is_alike_at_the_beginning_stands_once(
    shared: tuple[Step, ...], first: tuple[Step, ...], second: tuple[Step, ...]
) -> None:
    """The runs part at the first step that differs, not before and not after."""
    found = parting.part(run([*shared, *first]), run([*shared, *second]))
    assert len(found.shared) >= len(shared)
    for row in found.rows[:1]:
        one, two = row.preferred, row.other
        if one and two and one.number == two.number == len(found.shared) + 1:
            assert (one.speaker, one.text, one.calls) != (two.speaker, two.text, two.calls)


def test_only_what_differs_is_marked() -> None:
    """In texts that have much in common; where they have little, marks would say nothing."""
    one = Step(role="assistant", content="the refund is 350 cents, so call till.refund(350)")
    two = Step(role="assistant", content="the refund is 3.50 euros, so call till.refund(3.50)")
    (row,) = parting.part(run([one]), run([two], solved=False)).rows
    assert row.preferred is not None
    assert row.other is not None
    assert [piece.text for piece in row.preferred.pieces if piece.marked] == [
        "350 cents, ",
        "till.refund(350)",
    ]
    strange = Step(role="assistant", content="nothing of that")
    (row,) = parting.part(run([one]), run([strange])).rows
    assert row.preferred is not None
    assert not any(piece.marked for piece in row.preferred.pieces)


def test_a_long_step_keeps_its_beginning_and_its_end() -> None:
    """How a step ends says what came of it; what is left out is counted."""
    long = Step(role="tool", content="a" * 9000 + "end")
    found = parting.part(run([long]), run([long])).shared[0]
    assert found.text.startswith("aaa")
    assert found.text.endswith("end")
    assert "3,003 characters left out" in found.text
    assert len(found.text) < 6100


# ---- drawings


@patient
@given(st.lists(st.tuples(UNITS, UNITS, UNITS).map(sorted), max_size=6))
def test_an_axis_holds_every_value_and_keeps_their_order(triples: list[list[float]]) -> None:
    """Every value is within the axis; places are in order and 0 is in the middle."""
    effects = [effect(value, low=low, high=high) for low, value, high in triples]
    axis = chart.axis(effects)
    assert axis.place(0) == chart.WIDTH / 2
    for each in effects:
        found = axis.interval(each)
        assert found is not None
        assert 0 <= found.low <= found.value <= found.high <= chart.WIDTH
        assert each.uplift is not None
        assert abs(each.uplift) <= axis.reach
        assert found.open_low == (each.low is not None and each.low < -axis.reach)


def test_what_is_not_known_is_not_drawn() -> None:
    """No outcome on one side, no interval; the axis is still one."""
    assert chart.axis([]).interval(effect(None)) is None
    assert [said for _, said in chart.axis([effect(0.1)]).ticks] == [
        "−20",
        "−10",
        "0",
        "+10",
        "+20",
    ]


@patient
@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_longest_bar_is_whole(values: list[float]) -> None:
    """Bars are shares of the longest; shades go from 0 for nothing to 5 for the most."""
    lengths = chart.shares(values)
    assert all(0 <= each <= 100 for each in lengths)
    assert max(lengths) == (100 if max(values) > 0 else 0)
    shades = [chart.heat(value, max(values)) for value in sorted(values)]
    assert all(one <= two for one, two in pairwise(shades))
    assert shades[-1] == (5 if max(values) > 0 else 0)


# ---- lists


@patient
@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_a_place_in_a_list_is_read_as_it_was_written(tasks: int, contrasts: int) -> None:
    """The place behind a constraint survives its way through an address."""
    found = constraint(support=Support(tasks=tasks, contrasts=contrasts))
    assert view.place_from(view.place_of(found)) == (tasks, contrasts, found.id)


@patient
@given(st.text(max_size=40))
def test_any_other_place_is_refused_in_words(text: str) -> None:
    """Whatever stands there, it is a place or an error that says so."""
    if text and not re.fullmatch(r"[0-9]+\.[0-9]+\..*", text, re.S):
        with pytest.raises(UsageError, match="Next:"):
            view.place_from(text)
    else:
        found = view.place_from(text)
        assert found is None or (found[0] < 2**31 and found[1] < 2**31)


def test_a_page_knows_whether_another_follows() -> None:
    """One more than a page holds was asked for; it is not shown, and says that there is more."""
    found = [constraint(number) for number in range(4)]
    rows = view.constraint_rows(found, EvidenceReport(judged=0, unjudged=0, compared=0), None, 3)
    assert [row.constraint for row in rows.rows] == found[:3]
    assert rows.following == view.place_of(found[2])
    assert not rows.has_evidence
    last = view.constraint_rows(
        found[:3], EvidenceReport(judged=0, unjudged=0, compared=0), None, 3
    )
    assert last.following is None


def test_the_evidence_of_a_row_is_that_of_the_agent_asked_for() -> None:
    """Of all agents together, or of one."""
    found = constraint()
    report = EvidenceReport(
        judged=1,
        unjudged=0,
        compared=1,
        constraints=(
            effect(0.3, subject=found.id),
            effect(-0.1, subject=found.id, agent="owl"),
        ),
    )
    for agent, uplift in ((None, 0.3), ("owl", -0.1)):
        (row,) = view.constraint_rows([found], report, agent, 5).rows
        assert row.effect is not None
        assert row.effect.uplift == uplift
    (row,) = view.constraint_rows([found], report, "crow", 5).rows
    assert row.effect is None


def test_categories_are_listed_with_all_below_them() -> None:
    """A category counts itself and its subcategories."""
    found = view.category_options({"algebra": 1, "tool_use/paging": 2, "tool_use/units": 3})
    assert [(each.value, each.label, each.count) for each in found] == [
        ("algebra", "algebra", 1),
        ("tool_use", "tool use", 5),
        ("tool_use/paging", "– paging", 2),
        ("tool_use/units", "– units", 3),
    ]


def test_a_change_says_what_was_and_what_became_of_it() -> None:
    """Newest first, with the parts that changed."""
    before = {"status": "active", "support": {"tasks": 1, "families_right": ["a"]}, "when": "x"}
    after = {**before, "status": "retired", "support": {"tasks": 2, "families_right": ["a", "b"]}}
    changes = [
        Change(1, "c-1", "learn", "learned", None, None, before, "2026-01-01T00:00:00"),
        Change(2, "c-1", "ada", "retired", "old", before, after, "2026-01-02T00:00:00"),
    ]
    newest, oldest = view.history(changes)
    assert oldest.altered == ()
    assert newest.altered == (
        ("status", "active", "retired"),
        ("support", "tasks 1, families right a", "tasks 2, families right a b"),
    )


@pytest.mark.parametrize("status", view.STATUSES)
def test_every_status_has_its_actions(status: str) -> None:
    """None leads to where the constraint is already."""
    found = [each.value for each in view.actions(status)]
    assert len(found) == 2
    assert status not in found


def test_only_other_words_are_an_edit() -> None:
    """Space and line breaks of a form change nothing."""
    found = constraint(enforce="one two", avoid="x")
    given = {"when": f" {found.when} ", "enforce": "one\r\n  two", "avoid": "y  z"}
    assert view.altered(found, given) == {"avoid": "y z"}


# ---- transfer, ledger, jobs


def test_the_map_of_lessons_counts_constraints() -> None:
    """A row for whoever was preferred, a column for whoever was not."""
    found = view.taught_map([Taught("owl", "crow", 9), Taught("crow", "wren", 1)])
    assert found.rows == ("crow", "owl")
    assert found.columns == ("crow", "wren")
    assert [[each.said for each in row] for row in found.squares] == [["", "1"], ["9", ""]]
    assert found.squares[1][0].shade == 5


def test_the_map_of_help_weighs_by_outcomes() -> None:
    """Of two constraints of one teacher, the mean leans to the one of which more is known."""
    report = EvidenceReport(
        judged=1,
        unjudged=0,
        compared=1,
        constraints=(
            effect(0.5, subject="c-1", agent="wren", shown=30, withheld=30),
            effect(-0.1, subject="c-2", agent="wren", shown=10, withheld=10),
            effect(0.9, subject="c-1", agent=None),
            effect(None, subject="c-2", agent="crow", shown=3, withheld=0),
        ),
    )
    found = view.helped_map(report, {"c-1": frozenset({"owl"}), "c-2": frozenset({"owl"})})
    assert (found.rows, found.columns) == (("owl",), ("wren",))
    ((square,),) = found.squares
    assert square.said == "+35.0"
    assert square.detail == "2 constraints, 80 outcomes"
    assert square.shade > 0
    hurt = view.helped_map(report, {"c-2": frozenset({"owl"})}).squares[0][0]
    assert (hurt.said, hurt.shade < 0) == ("−10.0", True)


def test_a_map_of_very_many_agents_says_whom_it_leaves_out() -> None:
    """Those of most weight stay."""
    taught = [Taught(f"m{number:02}", f"m{number:02}", number) for number in range(1, 41)]
    found = view.taught_map(taught)
    assert len(found.rows) == 24
    assert "m40" in found.rows
    assert found.left_out == 16


@pytest.mark.parametrize(
    ("saving", "spent", "said"),
    [
        (Saving(), Usage(), "not known"),
        (Saving(tokens=-10.0), Usage(input_tokens=1000), "after 100 outcomes"),
        (Saving(tokens=-10.0), Usage(), "not recorded"),
        (Saving(tokens=5.0), Usage(input_tokens=1), "no fewer tokens"),
    ],
)
def test_the_ledger_says_the_balance(saving: Saving, spent: Usage, said: str) -> None:
    """Saved, not saved, or not known: never nothing."""
    report = EvidenceReport(judged=0, unjudged=0, compared=0, saving=saving, spent=spent)
    balance = view.Ledger(
        spent.tokens, None, 0, saving.tokens, None, None, 0.0, 0, report.break_even
    )
    assert said in balance.says


def test_a_job_says_how_far_it_is_and_what_came_of_it() -> None:
    """At work, done, failed, lost."""
    at = {"id": "job-1", "started": "2026-01-01T00:00:00"}
    jobs = [
        Job(state="running", stage="asking", done=3, total=12, **at),
        Job(state="running", **at),
        Job(state="done", report=LearnReport(judged=2, asked=1, constraints=1), **at),
        Job(state="failed", error="no such model", **at),
        Job(state="lost", **at),
    ]
    rows = view.job_rows(jobs)
    assert [row.percent for row in rows] == [25, None, None, None, None]
    assert rows[0].says == "asking 3 of 12"
    assert "2 runs, 0 contrasts, 1 asked" in rows[2].says
    assert rows[3].says == "no such model"
    assert "goes on from there" in rows[4].says


# ---- what leaves for the browser


@patient
@given(st.text())
def test_nothing_unseen_reaches_a_page(text: str) -> None:
    """Controls and characters that hide or turn text are named; all others stay as they are."""
    shown = render.visible(text)
    unseen = {"\u202e", "\u200b", "\u2066", "\ufeff", "\x1b", "\x00", "\U000e0041", "\xad"}
    assert not unseen & set(shown)
    assert render.visible(shown) == shown
    kept = Counter(each for each in text if each.isalnum() and each.isascii())
    assert all(Counter(shown)[each] >= number for each, number in kept.items())


@pytest.mark.parametrize(
    "text", ["plain", "línea\n\ttab", "中文", "אבג", "👩\u200d💻", "می\u200cخواهم"]
)
def test_writing_of_every_kind_stays_as_it_is(text: str) -> None:
    """Line breaks, other scripts, and joiners that they need."""
    assert render.visible(text) == text


def test_what_templates_made_is_left_alone() -> None:
    """Markup of our own is no text of others."""
    made = Markup("<b>\u200b</b>")
    assert render.visible(made) is made


@patient
@given(st.text(), st.text())
def test_every_text_is_escaped_wherever_it_is_shown(name: str, text: str) -> None:
    """The templates' own environment, on any text: no tag and no quote of it survives."""
    template = render.templates().from_string('<a title="{{ name }}">{{ text }}</a>')
    found = template.render(name=f'"><script>{name}', text=f"<img src=x>{text}")
    assert found.count("<") == 2
    assert found.count('"') == 2


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/team/pages/constraints?status=active&text=a%20b", None),
        ("/pages/", None),
        ("https://evil.example/pages/", "/pages/"),
        ("//evil.example/pages/", "/pages/"),
        ("/pages//evil.example", "/pages/"),
        ("/team/v1/export", "/pages/"),
        ("/pages/\r\nSet-Cookie: a=b", "/pages/"),
        ("", "/pages/"),
    ],
)
def test_after_signing_in_one_stays_here(wanted: str, target: str | None) -> None:
    """A page of this server, or the entrance."""
    assert render.local_target(wanted) == (target or wanted)


def test_numbers_read_as_numbers() -> None:
    """Thousands, minus signs, plurals, and what is not known."""
    assert render.number(1234567) == "1,234,567"
    assert render.number(-3.25) == "−3.2"
    assert render.number(None) == "–"
    assert render.counted(1, "task") == "1 task"
    assert render.counted(0, "task") == "0 tasks"
    assert render.points(-0.123) == "−12.3"
    assert render.when("2026-11-25T17:48:12.000001+00:00") == "2026-11-25 17:48"


@patient
@given(st.text(min_size=1), st.text(min_size=1))
def test_the_token_of_a_form_is_that_of_its_cookie_alone(one: str, two: str) -> None:
    """Another cookie, another token."""
    assert (session.form_token(one) == session.form_token(two)) == (one == two)


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"host": "memory.example"}, True),
        ({"host": "memory.example", "origin": "https://memory.example"}, True),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080"}, True),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:9090"}, False),
        ({"host": "memory.example", "origin": "null"}, False),
        ({"host": "memory.example", "origin": "https://memory.example.evil"}, False),
        ({"origin": "http://"}, False),
    ],
)
def test_an_origin_is_ours_or_not(headers: dict[str, str], own: bool) -> None:
    """Scheme aside, which a proxy in front may change, it is the host and port that were asked."""
    assert session.is_own_origin(headers) is own


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("", ""),
        ("a=b", ""),
        ("memcollab", ""),
        ('memcollab="', '"'),  # opens nothing: no session is called so
        ("\x00", ""),
        ("a=b; memcollab=x", "x"),
        ('prefs={"a":1}; memcollab=x', "x"),
    ],
)
def test_a_cookie_is_read_from_any_header(header: str, read: str) -> None:
    """Whatever a client sends there, it is a cookie or none."""
    assert session.cookie_of({"cookie": header}, loopback=True) == read
    assert session.cookie_of({"cookie": header}, loopback=False) == ""
