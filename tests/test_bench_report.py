"""The report: complete, self-contained, escaped, the same for the same input."""

from __future__ import annotations

import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from memcollab.bench.attempts import Attempt
from memcollab.bench.report import paper, write_report
from memcollab.bench.report.figures import change, p_value, percent, plain, points, signed
from memcollab.bench.report.markdown import line, text
from memcollab.bench.statistics import NOTHING, Estimate
from memcollab.bench.tables import Ledger, Plan
from memcollab.errors import UsageError

MADE = runpy.run_path(str(Path(__file__).with_name("synthetic_attempts.py")))
synthetic_attempts, LEDGERS = MADE["synthetic_attempts"], MADE["LEDGERS"]
ENTRIES = [[("1", "default-k1"), ("3", "default")]]
HOSTILE = (
    "</svg><script>alert(1)</script>|*_`[x](javascript:y) https://evil.example @all \u202e\x1b"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole report of six arms and one of fewer entries, with its logs."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "logs").mkdir()
    (folder / "logs" / "default-mbpp-coder-0.5b.eval").touch()
    arms = (*MADE["ARMS"], "default-k1")
    attempts = synthetic_attempts(tasks=8, arms=arms)
    write_report(
        attempts,
        LEDGERS,
        folder / "report",
        title="A report of nothing",
        notes=["Made up, to see the page."],
        settings={"temperature": "0"},
        arms=[{"arm": "default", "otherwise": "the recipe has 9 entries"}],
        entries=ENTRIES,
        logs_root=folder,
    )
    return folder / "report"


class _Page(HTMLParser):
    """What a page loads, where its links lead, which ids it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name))]


def test_the_page_has_every_part_in_order(made: Path) -> None:
    """What was asked stands first, where the numbers come from last."""
    page = (made / "report.html").read_text(encoding="utf-8")
    titles = re.findall(r"<h2 [^>]*>([^<]*)", page)
    assert titles == [
        "What was asked, and how small it is",
        "Headline",
        "Accuracy",
        "Accuracy in pictures",
        "Turns and tokens",
        "Whose memory helps whom",
        "The number of entries",
        "How attempts ended",
        "What it cost and what it saves",
        "Negative results",
        "Where every number comes from",
    ]
    assert "a cell (one arm, suite and agent) rests on" in page
    assert re.search(r"reaches, read by each agent, \d+ to \d+ points \(coder-0.5b\), \d+ to", page)
    assert re.search(r"so many seconds of working time: [\d.]+ \(coder-0.5b\), [\d.]+ \(c", page)
    assert paper.CITATION in page
    assert "Made up, to see the page." in page
    assert "the recipe has 9 entries" in page
    assert "recorded writer" not in page


def test_a_ledger_says_what_is_estimated_and_what_nobody_recorded(tmp_path: Path) -> None:
    """Minutes that are not known are not 0, and a recorded writer's tokens are called estimates."""
    attempts = synthetic_attempts(tasks=3, arms=("none", "default"))
    spent = Ledger("default", 900, 100, requests=4, constraints=3, recorded=4)
    _, markdown = write_report(attempts, [spent], tmp_path, title="ledger")
    page = markdown.read_text(encoding="utf-8")
    assert "| default | 4 | 3 | not recorded | 900 + 100 |" in page
    assert "Answers of a recorded writer came from a file: its tokens are estimates" in page


def test_the_page_needs_nothing_from_elsewhere(made: Path) -> None:
    """No script, no style sheet, no picture, no address but those of its parts and its logs."""
    page = _Page((made / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "link", "img", "iframe", "object", "image"} & {
        tag for tag, _ in page.tags
    }
    assert page.values("src") == page.values("xlink:href") == []
    links = {link for link in page.values("href") if not link.startswith("#")}
    assert links == {"../logs/default-mbpp-coder-0.5b.eval"}


def test_every_link_inside_the_page_leads_somewhere_and_ids_are_unique(made: Path) -> None:
    """A cell of the accuracy table leads to its logs; charts do not share ids."""
    page = _Page((made / "report.html").read_text(encoding="utf-8"))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    anchors = [link[1:] for link in page.values("href") if link.startswith("#")]
    assert len(anchors) > 70
    assert set(anchors) <= set(ids)


def test_tables_and_charts_can_be_read_without_seeing(made: Path) -> None:
    """Each table has a caption and scoped heads, each chart a text in its place."""
    page = _Page((made / "report.html").read_text(encoding="utf-8"))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption") > 8
    assert all(attrs.get("scope") in {"row", "col"} for tag, attrs in page.tags if tag == "th")
    charts = [attrs for _, attrs in page.tags if attrs.get("class") == "chart"]
    assert len(charts) == 6
    assert all(len(attrs["aria-label"] or "") > 40 for attrs in charts)


def test_charts_stand_beside_the_markdown_as_whole_svg(made: Path) -> None:
    """Every picture that the Markdown names is a file of well-formed SVG."""
    page = (made / "report.md").read_text(encoding="utf-8")
    names = re.findall(r"^!\[.*\]\(([^)]*)\)$", page, re.MULTILINE)
    assert len(names) == 6
    for name in names:
        root = ElementTree.fromstring((made / name).read_text(encoding="utf-8"))
        assert root.tag.endswith("svg")


def test_every_record_is_beside_the_page(made: Path) -> None:
    """attempts.jsonl holds each attempt, to be read back."""
    lines = (made / "attempts.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 7 * 5 * 2 * 8
    assert Attempt.model_validate_json(lines[0]).log in (made / "report.html").read_text()


def test_the_same_attempts_give_the_same_bytes(tmp_path: Path) -> None:
    """Whatever their order, and wherever it is written."""
    attempts = synthetic_attempts(tasks=3, arms=("none", "default"))
    for folder, given in (("one", attempts), ("two", attempts[::-1])):
        write_report(given, LEDGERS, tmp_path / folder / "page.html", title="t", entries=ENTRIES)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert {"page.html", "page.md", "page-accuracy.svg", "attempts.jsonl"} <= set(names)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_names_and_errors_are_text_and_nothing_else(tmp_path: Path) -> None:
    """Markup in an arm, a suite, an agent, an error, a note or a log is shown and not obeyed."""
    fields = {"suite": HOSTILE, "agent": HOSTILE, "key": "k", "log": "../../" + HOSTILE}
    attempts = [
        Attempt(
            arm=arm,
            task_id=f"{HOSTILE}{task}",
            solved=None if task == 3 else task % 2 == 0,
            error=HOSTILE,
            source=HOSTILE,
            **fields,
        )
        for arm in ("none", HOSTILE, "default")
        for task in range(4)
    ]
    html, markdown = write_report(
        attempts,
        [Ledger(HOSTILE)],
        tmp_path,
        title=HOSTILE,
        notes=[HOSTILE],
        settings={HOSTILE: HOSTILE},
        entries=[[("1", HOSTILE), (HOSTILE, "default")]],
        logs_root=tmp_path / "logs",
    )
    page = _Page(html.read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [link for link in page.values("href") if not link.startswith("#")]
    for path in tmp_path.glob("*.svg"):
        drawn = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        assert not [each for each in drawn.iter() if each.tag.endswith("script")]
    written = markdown.read_text(encoding="utf-8")
    for refused in ("<script", "https://", "@all", " [x]", "\u202e", "\x1b"):
        assert refused not in written


def test_half_a_run_says_what_is_missing(tmp_path: Path) -> None:
    """Cells without attempts are named as not run, and what lacks is counted."""
    attempts = synthetic_attempts(tasks=4, arms=("none", "own"))[:37]
    plan = Plan(("none", "own", "default"), {"gsm8k": 4, "code": 4}, ("coder-0.5b", "coder-1.5b"))
    html, _ = write_report(attempts, [], tmp_path, title="half", plan=plan)
    page = html.read_text(encoding="utf-8")
    assert ">not run<" in page
    assert re.search(r"\d+ cells of \d+ not run\.", page)
    assert re.search(r"attempts are missing from cells that were begun", page)
    assert "Not run for coder-0.5b: default." in page
    assert "The arm default has no pair with none yet." in page


def test_a_part_of_the_plan_is_called_a_part(tmp_path: Path) -> None:
    """The report says what of the plan it shows, that this was chosen when it was made, and how
    many of the planned attempts there are; a plan that was carried out says so in numbers."""
    attempts = synthetic_attempts(tasks=4, arms=("none", "own"))
    agents = ("coder-0.5b", "coder-1.5b")
    suites = dict.fromkeys(MADE["SUITES"], 4)
    whole = Plan((*MADE["ARMS"],), suites, (*agents, "smollm"), 360)
    part = Plan(("none", "own"), suites, agents, 80, whole)
    _, page = write_report(attempts, [], tmp_path, title="part", plan=part)
    text = page.read_text(encoding="utf-8")
    assert "2 of 6 arms (none, own); 5 of 5 suites" in text
    assert "2 of 3 agents (coder-0.5b, coder-1.5b). The whole plan has 360 attempts." in text
    assert "chosen when this report was made" in text
    judged = [each.model_copy(update={"solved": each.solved or False}) for each in attempts]
    _, page = write_report(judged, [], tmp_path, title="part", plan=part)
    assert "80 of 80 planned attempts of this part were made; all have" in page.read_text("utf-8")
    _, page = write_report(judged[:70], [], tmp_path, title="part", plan=part)
    assert "70 of 80 planned attempts of this part were made." in page.read_text("utf-8")
    _, page = write_report(judged, [], tmp_path, title="all")
    assert "planned" not in page.read_text("utf-8")


def test_links_to_logs_lead_there_from_any_folder(tmp_path: Path) -> None:
    """Wherever a report is written, and wherever its logs lie, its links lead to them."""
    attempts = synthetic_attempts(tasks=2, arms=("none", "default"))
    for name in {each.log for each in attempts if each.log}:
        log = tmp_path / "elsewhere" / "published" / name
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    for folder in (tmp_path / "report", tmp_path / "elsewhere" / "a" / "b", tmp_path):
        root = tmp_path / "elsewhere" / "published"
        page, markdown = write_report(attempts, [], folder, title="links", logs_root=root)
        found = _Page(page.read_text(encoding="utf-8")).values("href")
        links = {unquote(link) for link in found if not link.startswith("#")}
        assert len(links) == 2 * 5 * 2
        assert all((folder / link).is_file() for link in links)
        assert set(re.findall(r"\]\(<([^>]*)>\)", markdown.read_text("utf-8"))) <= links


def test_a_report_of_nothing_is_a_report(tmp_path: Path) -> None:
    """No attempts: the pages are written and say so."""
    html, markdown = write_report([], [], tmp_path, title="empty")
    assert "Nothing has a verdict yet" in html.read_text(encoding="utf-8")
    assert "Nothing has a verdict yet" in markdown.read_text(encoding="utf-8")


def test_harm_is_called_harm(tmp_path: Path) -> None:
    """An arm that loses what none solved stands under the negative results, by name."""
    attempts = [
        Attempt(arm=arm, suite="mbpp", agent="a", task_id=str(task), solved=arm == "none", key="k")
        for arm in ("none", "other", "default")
        for task in range(12)
    ]
    html, _ = write_report(attempts, [], tmp_path, title="harm")
    page = html.read_text(encoding="utf-8")
    assert "The interval lies below 0: it did harm." in page
    assert "Worse than none: other on mbpp, read by a: −100.0" in page
    assert "other is worse than none over all cells" in page


def test_pictures_are_described_in_their_units(tmp_path: Path) -> None:
    """Shares have no sign, differences have one, and of one value nothing is best and worst."""
    attempts = [
        Attempt(arm=arm, suite="s", agent="a", task_id=str(t), source=source, solved=t < 3, key="k")
        for arm, source in (("none", None), ("default", "a"))
        for t in range(10)
    ]
    page, _ = write_report(attempts, [], tmp_path, title="alt")
    alts = _Page(page.read_text(encoding="utf-8")).values("aria-label")
    assert any("values from 30 % to 30 %." in alt for alt in alts)
    assert any("values from 0.0 points to 0.0 points." in alt for alt in alts)
    assert [alt for alt in alts if "Heat map" in alt] == [
        "Heat map of memories by reading agents. "
        "Alone: default · a read by a, 0.0 [−25.0, +25.0] points."
    ]


def test_one_cell_has_one_interval_wherever_it_stands(tmp_path: Path) -> None:
    """A suite alone: the cell, its agent's mean, the arm's row and the headline say the same; the
    interval over tools stands beside it."""
    attempts = [
        Attempt(
            arm=arm,
            suite="house",
            agent="a",
            task_id=str(task),
            group=f"tool {task % 10}",
            solved=arm == "default" and task < 20,
            key="k",
        )
        for arm in ("none", "default")
        for task in range(60)
    ]
    _, markdown = write_report(attempts, [], tmp_path, title="one cell")
    page = markdown.read_text(encoding="utf-8").replace("\\", "")
    assert set(re.findall(r"\+33\.3 (\[[^]]*\])(?! tokens)", page)) == {
        "[+19.4, +45.2]",
        re.search(r"over 10 groups (\[[^]]*\])", page)[1],  # type: ignore[index]
    }
    assert "+33 [" not in page
    assert "With groups of tasks resampled whole: +33.3 [" in page


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error says where."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file"):
        write_report([], [], tmp_path / "file", title="x")


def test_numbers_are_written_with_sign_and_interval() -> None:
    """Minus is a minus; what rounds to 0 has no sign; what is not known is not a number."""
    estimate = Estimate(0.08, -0.021, 0.1834, 50)
    assert points(estimate) == "+8.0 [−2.1, +18.3]"
    assert percent(estimate) == "8 % [-2, 18]"
    assert points(NOTHING) == percent(NOTHING) == "not run"
    assert signed(-0.04, 1) == "0.0"
    assert signed(-1234.4, 0) == "−1,234"
    assert change(Estimate(1.0, float("nan"), float("nan"), 1), 1) == "+1.0"
    assert (p_value(0.0004), p_value(0.25), p_value(float("nan"))) == ("< 0.001", "0.250", "–")


def test_text_is_shown_as_it_is() -> None:
    """Unseen characters are replaced, long text is cut, Markdown's signs are escaped."""
    assert plain("a\nb\x00c\u202e") == "a b�c�"
    assert plain("x" * 400) == "x" * 300 + "…"
    assert text("<b>|*x*") == r"&lt;b&gt;\|\*x\*"
    assert line("1. item").startswith("&#8203;")


def test_the_papers_figures_agree_with_its_means() -> None:
    """The mean over the four suites is the one that the paper prints, to 0.1."""
    printed = {
        "no memory": (57.1, 70.8, 41.7),
        "own memory": (59.8, 75.6, 45.6),
        "other model's memory": (55.0, 36.3),
        "self-contrast": (67.5, 77.4, 45.0),
        "MemCollab": (71.6, 79.6, 53.9),
    }
    for arm, means in printed.items():
        found = [sum(figures) / 4 for figures in paper.ACCURACY[arm].values()]
        assert found == pytest.approx(means, abs=0.11), arm
    assert paper.suite_of("math500") == "MATH500"
    assert paper.suite_of("house-rules") is None
