"""Stage 3: a contrast becomes drafts, by asking the writer model.

Live, batch and replay are one path: ``request_for`` makes the request, a ``LanguageModel`` answers
it (a recorded one from a file), ``read_answer`` reads what came. Because small models break JSON
the answer is asked for in tiers, each tried only when the one before could not be read:

1. ``native``  a JSON Schema that the model's server enforces;
2. ``json``    the form described in words;
3. ``repair``  the unreadable answer shown back, once;
4. ``lines``   four plain lines per constraint.

The writer sees the task, the attempt that was right and the one that was wrong: no verdict's
details, no gold answer, no model's name, no secret. Runs are data: what looks like our own markup
is defused, also in wide or spaced signs, and secrets are scrubbed before anything is cut, so that
none escapes by being halved.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import islice
from string import Template
from typing import Any, Literal

import orjson

from memcollab.errors import ModelError, ModelUnavailable
from memcollab.models import Answer, LanguageModel, Prompt, RecordedModel
from memcollab.recipe import Recipe
from memcollab.records import (
    Contrast,
    ContrastKind,
    Draft,
    Step,
    Task,
    Trajectory,
    Usage,
    content_id,
)
from memcollab.scrub import Scrubber

Tier = Literal["native", "json", "repair", "lines", "recorded"]
PARTS = ("when", "enforce", "avoid")
# Budgets are given in tokens; English, code and JSON run at about four characters a token.
CHARS_PER_TOKEN = 4
_TEMPLATES = {
    "discordant": "distill.discordant",
    "same_model": "distill.discordant",
    "efficiency": "distill.efficiency",
    "unsolved": "distill.unsolved",
    "both_right": "distill.paper",
    "both_wrong": "distill.paper",
    "single": "distill.single",
}


@dataclass(frozen=True)
class Request:
    """One contrast put to the writer. ``prompt_hash`` names the wording that was used."""

    contrast: Contrast
    prompt_hash: str
    prompt: Prompt
    limit: int


@dataclass(frozen=True)
class Distilled:
    """What the writer made of one contrast; ``surplus`` came beyond the limit it was given."""

    request: Request
    answer: Answer
    tier: Tier
    drafts: tuple[Draft, ...]
    surplus: tuple[Draft, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A contrast without a usable answer, and why."""

    request: Request
    error: str


# ---- asking


def request_for(
    contrast: Contrast, task: Task, preferred: Trajectory, other: Trajectory, recipe: Recipe
) -> Request:
    """The request that puts ``contrast`` to a writer. Its id is a content id: the same contrast in
    the same words is the same request, in a batch file of today or of next year."""
    template = _template(contrast.kind, recipe)
    system = _system(recipe)
    scrub = Scrubber()  # runs come scrubbed into the bank, but for those of older or foreign banks
    task, preferred, other = scrub.task(task), scrub.run(preferred), scrub.run(other)
    first, second = _cut_pair(preferred, other, recipe.run_budget * CHARS_PER_TOKEN)
    names = {preferred.agent.model, other.agent.model}
    user = Template(template).substitute(
        limit=recipe.max_entries,
        outcome="right" if preferred.verdict.solved else "wrong",
        task=_defuse(task.text, names),
        preferred=_defuse(first, names),
        other=_defuse(second, names),
    )
    request_id = content_id("request", {"contrast": contrast.id, "system": system, "user": user})
    return Request(
        contrast=contrast,
        prompt_hash=prompt_hash(contrast.kind, recipe),
        prompt=Prompt(request_id, system, user, answer_schema(recipe.max_entries)),
        limit=recipe.max_entries,
    )


def prompt_hash(kind: ContrastKind, recipe: Recipe) -> str:
    """The name of the wording and limits with which a contrast of that kind is put to a writer."""
    content = {
        "system": _system(recipe),
        "template": _template(kind, recipe),
        "entries": recipe.max_entries,
        "budget": recipe.run_budget,
    }
    return content_id("prompt", content)


def _system(recipe: Recipe) -> str:
    more = _prompt("distill.calls") if recipe.worked_calls else ""
    return _prompt("distill.system") + more


def _template(kind: ContrastKind, recipe: Recipe) -> str:
    """The paper's recipes word every contrast alike: its preferred run may be a wrong one."""
    alike = recipe.pairing in ("paper-v1", "paper-v2")
    return _prompt("distill.paper" if alike else _TEMPLATES[kind])


async def distil(
    requests: Iterable[Request], writer: LanguageModel, *, parallel: int = 4
) -> AsyncGenerator[Distilled | Failed, None]:
    """Ask ``writer`` about every request, at most ``parallel`` at once, as answers come.

    Raises:
        ModelUnavailable: the writer will answer nothing; what came before was yielded.
    """
    todo = iter(requests)
    open_jobs: set[asyncio.Task[Distilled | Failed]] = set()
    try:
        while True:
            for request in islice(todo, parallel - len(open_jobs)):
                open_jobs.add(asyncio.ensure_future(_distil_one(request, writer)))
            if not open_jobs:
                return
            done, open_jobs = await asyncio.wait(open_jobs, return_when=asyncio.FIRST_COMPLETED)
            # Answers first: what came is yielded before the failure that ends the asking, and every
            # failure is looked at, or asyncio would report it as forgotten.
            for job in sorted(done, key=lambda job: job.exception() is not None):
                yield job.result()
    finally:
        for job in open_jobs:
            job.cancel()
        await asyncio.gather(*open_jobs, return_exceptions=True)


async def _distil_one(request: Request, writer: LanguageModel) -> Distilled | Failed:
    spent = Usage()
    problem, last = "", ""
    tiers: tuple[Tier, ...] = ("native", "json", "repair", "lines")
    for tier in tiers:
        try:
            answer = await writer.ask(_tier_prompt(request.prompt, tier, last))
        except ModelUnavailable:
            raise
        except ModelError as error:
            # A server without structured output refuses the first tier and takes the next one.
            problem = problem or str(error)
            continue
        spent = spent + answer.usage
        read = read_answer(answer.text, request.contrast.id)
        if read is not None:
            return Distilled(
                request=request,
                answer=Answer(answer.text, answer.model, spent),
                tier=_named(tier, read, writer),
                drafts=read.drafts[: request.limit],
                surplus=read.drafts[request.limit :],
            )
        last = answer.text
        problem = f"the answer cannot be read in any tier: {last[:80]!r}"
    return Failed(request, problem)


def _named(tier: Tier, read: ReadAnswer, writer: LanguageModel) -> Tier:
    """The tier to report: how a recorded answer was asked for is not known, and a server that
    ignored the schema answered in the form that could be read."""
    if isinstance(writer, RecordedModel):
        return "recorded"
    return "lines" if tier == "native" and read.form == "lines" else tier


def _tier_prompt(prompt: Prompt, tier: Tier, unreadable: str) -> Prompt:
    """The same request, worded for a tier. Its id carries the tier, but for the first."""
    if tier == "native":
        return Prompt(
            prompt.id, prompt.system, f"{prompt.user}\n{_prompt('answer.json')}", prompt.schema
        )
    user = {
        "json": lambda: f"{prompt.user}\n{_prompt('answer.json')}",
        "repair": lambda: (
            Template(_prompt("answer.repair")).substitute(answer=_defuse(unreadable, ()))
            + f"{prompt.user}\n{_prompt('answer.json')}"
        ),
        "lines": lambda: f"{prompt.user}\n{_prompt('answer.lines')}",
    }[tier]()
    return Prompt(f"{prompt.id}.{tier}", prompt.system, user)


def batch_line(request: Request, model: str) -> dict[str, Any]:
    """The request as one line of an OpenAI Batch input file."""
    prompt = _tier_prompt(request.prompt, "native", "")
    schema = {"name": "answer", "strict": True, "schema": dict(prompt.schema or {})}
    return {
        "custom_id": prompt.id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": model,
            "messages": prompt.messages(),
            "response_format": {"type": "json_schema", "json_schema": schema},
        },
    }


def answer_schema(limit: int) -> dict[str, Any]:
    """The JSON Schema of an answer: at most ``limit`` constraints."""
    properties: dict[str, Any] = {part: {"type": "string"} for part in PARTS}
    properties["scope"] = {"type": "string", "enum": ["reasoning", "harness"]}
    constraint = {
        "type": "object",
        "properties": properties,
        "required": [*PARTS, "scope"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"constraints": {"type": "array", "items": constraint, "maxItems": limit}},
        "required": ["constraints"],
        "additionalProperties": False,
    }


@cache
def _prompt(name: str) -> str:
    return resources.files("memcollab").joinpath(f"prompts/{name}.md").read_text("utf-8")


# ---- what the writer sees of a run


def _cut_pair(preferred: Trajectory, other: Trajectory, budget: int) -> tuple[str, str]:
    """Both runs as text, each within ``budget`` characters, around the point where they part."""
    alone = preferred.id == other.id
    parting = 0 if alone else _parting(preferred.steps, other.steps)
    return _cut(preferred.steps, parting, budget), _cut(other.steps, parting, budget)


def _parting(first: Sequence[Step], second: Sequence[Step]) -> int:
    """The index of the first step that differs in what was done or seen, prose left aside."""
    index = 0
    for a, b in zip(first, second, strict=False):
        if _deed(a) != _deed(b):
            break
        index += 1
    return index


def _deed(step: Step) -> tuple[str, ...]:
    if step.tool_calls:
        return tuple(f"{call.name} {''.join(call.arguments.split())}" for call in step.tool_calls)
    return (step.role, " ".join(step.content.split()))


def _cut(steps: Sequence[Step], parting: int, budget: int) -> str:
    """The steps from just before the parting on. Each may take a fair share of the budget; what is
    still too long loses its middle, because how a run ends says what came of it."""
    start = max(0, parting - 1)
    kept = [_shorten(_rendered(step), max(400, budget // 3)) for step in steps[start:]]
    if start:
        kept.insert(0, f"[{start} earlier steps alike in both attempts]")
    return _shorten("\n".join(kept), budget) or "[nothing was done]"


def _rendered(step: Step) -> str:
    calls = "".join(f"\n[calls {call.name} {call.arguments}]" for call in step.tool_calls)
    name = {"assistant": "agent", "tool": "result", "user": "environment"}.get(step.role, step.role)
    return f"[{name}] {step.content.strip()}{calls}"


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head, tail = limit * 3 // 5, limit * 2 // 5
    return f"{text[:head]}\n[… {len(text) - head - tail} characters left out …]\n{text[-tail:]}"


_MARKUP = re.compile(
    r"[<＜﹤‹]([\s/／\\\u200b-\u200f\u2060\ufeff]*"
    r"(?:task|attempt-that|preferred-attempt|other-attempt|answer-that))",
    re.I,
)


def _defuse(text: str, model_names: Iterable[str]) -> str:
    """Text of a run as data: it cannot close our markup, and does not say who made it."""
    text = _MARKUP.sub(r"‹\1", text)
    for name in model_names:
        if len(name) > 3:
            text = re.sub(re.escape(name), "the agent", text, flags=re.I)
    return text


# ---- reading what the writer answered


@dataclass(frozen=True)
class ReadAnswer:
    """Drafts as they stood in an answer, and the form that could be read."""

    drafts: tuple[Draft, ...]
    form: Literal["json", "lines"]


_THINKING = re.compile(r"<think>.*?</think>", re.S)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[A-Za-z]+|.)", re.S)
# Letters after a backslash that JSON would read as a control character, and the LaTeX commands that
# begin with them. Without this list "\times" becomes a tab and "imes".
_LATEX = frozenset(
    "bar because begin beta bf big bigcap bigcup bigg binom bmod boldsymbol bot boxed bullet "
    "fbox flat forall frac frown nabla ne neg neq newline ngeq ni nleq nmid not notin nu "
    "rangle rbrace rceil rfloor rho right rightarrow rm "
    "tan tanh tau text textbf textit textrm tfrac theta tilde times to top triangle".split()
)


def read_answer(text: str, contrast_id: str) -> ReadAnswer | None:
    """Read the drafts of an answer: JSON anywhere in it, else lines, else None.

    A part that is missing or no text becomes empty, so that screening refuses and counts it.
    """
    text = _THINKING.sub("", text).strip()
    entries = _json_entries(text)
    form: Literal["json", "lines"] = "json"
    if entries is None:
        entries, form = _line_entries(text), "lines"
    if entries is None:
        return None
    drafts = (_draft(entry, contrast_id) for entry in entries)
    return ReadAnswer(tuple(dict.fromkeys(drafts)), form)


def _draft(entry: dict[str, Any], contrast_id: str) -> Draft:
    parts = {part: entry.get(part) for part in PARTS}
    return Draft(
        contrast_id=contrast_id,
        scope="harness" if entry.get("scope") == "harness" else "reasoning",
        **{name: _bare(value) if isinstance(value, str) else "" for name, value in parts.items()},
    )


_FRAME = re.compile(r"^(?:when|enforce|avoid)\b[\s:,]*", re.I)


def _bare(part: str) -> str:
    """A part without the frame that the constraint's sentence puts around it."""
    return _FRAME.sub("", part.strip()).strip().rstrip(",;.").strip()


def _json_entries(text: str) -> list[dict[str, Any]] | None:
    for start, end in (("{", "}"), ("[", "]")):
        first, last = text.find(start), text.rfind(end)
        if first < 0 or last < first:
            continue
        try:
            found = orjson.loads(mend_backslashes(text[first : last + 1]))
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict):
            found = found.get("constraints", [found] if "when" in found else None)
        if isinstance(found, list) and all(isinstance(entry, dict) for entry in found):
            return found
    return None


def mend_backslashes(text: str) -> str:
    """JSON text in which LaTeX commands keep their backslash: ``\\times`` → ``\\\\times``.

    What JSON itself means (``\\n`` before a word that is no command, ``\\"``, ``\\u00e9``) stays.
    """
    return _ESCAPE.sub(_mended, text)


def _mended(match: re.Match[str]) -> str:
    escaped = match[1]
    if escaped[0] in '"\\/' or (len(escaped) == 5 and escaped[0] == "u"):
        return match[0]
    if escaped[0] in "bfnrt" and escaped not in _LATEX:
        return match[0]
    return f"\\\\{escaped}"


_LINE = re.compile(r"^[\s*\-\d.)]*(when|enforce|avoid|scope)\W*[:：]\W*(.+?)\W*$", re.I)
_SENTENCE = re.compile(r"\bwhen\b(.+?),\s*enforce\b(.+?);\s*avoid\b(.+?)(?:\.\s|\.?$)", re.I | re.S)


def _line_entries(text: str) -> list[dict[str, Any]] | None:
    entries: list[dict[str, Any]] = []
    for line in text.splitlines():
        if found := _LINE.match(line):
            key = found[1].lower()
            if key == "when" or not entries:
                entries.append({})
            entries[-1][key] = found[2].lower() if key == "scope" else found[2]
    if not entries:
        entries = [
            dict(zip(PARTS, found.groups(), strict=True)) for found in _SENTENCE.finditer(text)
        ]
    if not entries and text.strip(" .*").upper() != "NONE":
        return None
    return entries
