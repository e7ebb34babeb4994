"""The one object users hold, and the only file that knows the order of the stages.

    runs → sources → contrast → distill → screen → merge → bank
    task → taxonomy → recall → guide

Learning is idempotent: runs, contrasts and answers have content ids, what the bank holds is not
asked or paid for again, and constraints are made in one transaction at the end from what is
stored, in an order that does not depend on when it came. A learn that is killed anywhere and
started again therefore ends in the same bank.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import orjson

from memcollab.bank import Bank, Imported, Merge, Pending, Screened, StoredAnswer
from memcollab.contrast import mixed_tasks, select_contrasts
from memcollab.distill import (
    Distilled,
    Failed,
    Request,
    batch_line,
    distil,
    prompt_hash,
    request_for,
)
from memcollab.embed import Embedder, bundled
from memcollab.errors import TaxonomyError, UsageError
from memcollab.guide import strip_guidance, write_guidance
from memcollab.merge import Accepted, merge
from memcollab.models import LanguageModel, RecordedModel, model_named
from memcollab.recall import Index, IndexRow, search
from memcollab.recipe import Recipe
from memcollab.recipe import recipe as recipe_named
from memcollab.records import (
    Agent,
    Category,
    Constraint,
    Contrast,
    Draft,
    LearnReport,
    Outcome,
    Recall,
    Refusal,
    Rejected,
    RunSummary,
    Task,
    Trajectory,
    Usage,
)
from memcollab.taxonomy import Categoriser, Taxonomy

# ``sources`` and ``screen`` are imported where learning begins: recall needs neither, and a sixth
# of a cold `memcollab recall` would be spent on them.
if TYPE_CHECKING:
    from memcollab.screen import SourceText

Progress = Callable[[str, int, int | None], None]
Vectors = npt.NDArray[np.float32]


@dataclass
class Intake:
    """What came in from the sources, counted as it passes; only judged runs go on."""

    exclude: frozenset[str]
    progress: Progress | None
    seen: int = 0
    judged: int = 0
    unjudged: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejected] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    tasks: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)

    def judged_runs(self, runs: Iterable[Trajectory | Rejected]) -> Iterator[Trajectory]:
        """Count every run; yield those that tell right from wrong, without our own guidance."""
        for run in runs:
            self.seen += 1
            if self.progress and self.seen % 100 == 0:
                self.progress("reading runs", self.seen, None)
            if isinstance(run, Trajectory) and run.agent.model in self.exclude:
                run = Rejected(origin=run.origin, reason="excluded-agent", detail=run.agent.model)
            if isinstance(run, Rejected):
                self._reject(run)
                continue
            self.tasks.add(run.task.id)
            self.agents.add(run.agent.model)
            if run.verdict.solved is None:
                self.unjudged[run.verdict.reason or "no verdict"] += 1
                continue
            self.judged += 1
            yield without_guidance(run)

    def _reject(self, run: Rejected) -> None:
        self.rejected[run.reason] += 1
        if len(self.rejections) < 1000:
            self.rejections.append(run)

    def report(self) -> LearnReport:
        return LearnReport(
            seen=self.seen,
            judged=self.judged,
            unjudged=self.unjudged.total(),
            unjudged_reasons=dict(sorted(self.unjudged.items())),
            rejected=dict(sorted(self.rejected.items())),
            rejections=tuple(self.rejections),
            skipped_files=tuple(self.skipped),
            tasks=len(self.tasks),
            agents=len(self.agents),
        )


def without_guidance(run: Trajectory) -> Trajectory:
    """The run without the guidance it was given: memory never re-learns itself."""
    cut = [strip_guidance(step.content) for step in run.steps]
    if all(text == step.content for text, step in zip(cut, run.steps, strict=True)):
        return run
    steps = (
        step.model_copy(update={"content": text}) for step, text in zip(run.steps, cut, strict=True)
    )
    return run.model_copy(update={"steps": tuple(steps)})


class MemCollab:
    """One shared memory: learn from runs, recall for a task, record how it ended.

    Args:
        bank: path of the bank; made when something is learned into it.
        recipe: a recipe or its name: ``default``, ``paper-v1``, ``paper-v2``.
        taxonomy: a TOML file in place of the built-in categories.
        embedder: in place of the bundled one.
        create: make the bank if it is not there.

    Raises:
        UsageError: no such recipe, an unusable taxonomy.
        BankError: the bank cannot be opened (when it is first needed).
    """

    def __init__(
        self,
        bank: str | Path = "memcollab.db",
        *,
        recipe: str | Recipe = "default",
        taxonomy: Path | None = None,
        embedder: Embedder | None = None,
        create: bool = True,
    ) -> None:
        self.recipe = recipe_named(recipe)
        self.taxonomy = Taxonomy.load(taxonomy)
        self._path = bank
        self._create = create
        self._embedder = embedder
        self._categoriser: Categoriser | None = None
        self._index: Index | None = None
        self._sequence = -1

    @cached_property
    def bank(self) -> Bank:
        """The bank, opened when first needed."""
        return Bank.open(self._path, create=self._create)

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder, loaded when first needed."""
        return self._embedder or bundled()

    def close(self) -> None:
        """Close the bank, if it was opened."""
        if "bank" in self.__dict__:
            self.bank.close()
            del self.__dict__["bank"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _train(self) -> Categoriser:
        """What files tasks, trained on the labelled tasks that the bank holds now.

        Training takes seconds for thousands of tasks, so what it yields is kept in the bank.
        """
        labelled = [
            (task.text, task.category)
            for task in self.bank.tasks(labelled=True)
            if task.category is not None
        ]
        key = Categoriser.key_of(self.taxonomy, self.embedder, labelled)
        if self._categoriser is None or self._categoriser.key != key:
            self._categoriser = self._cached_categoriser(key, labelled)
        return self._categoriser

    def _cached_categoriser(
        self, key: str, labelled: Sequence[tuple[str, Category]]
    ) -> Categoriser:
        content = self.bank.cached("categoriser", key)
        if content is not None:
            try:
                return Categoriser.from_bytes(content, self.taxonomy, self.embedder)
            except TaxonomyError:
                pass  # written by another version: what is derived is derived again
        trained = Categoriser(self.taxonomy, self.embedder, labelled)
        self.bank.save_cache("categoriser", key, trained.to_bytes())
        return trained

    # ---- learning

    def learn(
        self,
        *paths: str | Path,
        writer: str | LanguageModel | None = None,
        writer_url: str | None = None,
        key: str | None = None,
        mapping: str | Path | None = None,
        strongest_first: Sequence[str] = (),
        exclude_agents: Iterable[str] = (),
        max_contrasts: int | None = None,
        batch_out: str | Path | None = None,
        batch_in: str | Path | None = None,
        parallel: int = 4,
        strict: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> LearnReport:
        """Learn from runs: read, contrast, distil, screen, merge, store.

        Args:
            paths: files, archives or folders of runs.
            writer: the model that distils: ``provider:model``, ``recorded:FILE``, or an object.
            writer_url: an OpenAI-compatible server of the writer; ``key`` opens it.
            mapping: a TOML file that says how to read foreign runs.
            strongest_first: model names, for the paper's recipes; else read off the runs.
            exclude_agents: models whose runs are left out.
            max_contrasts: distil at most so many, spread over the tasks.
            batch_out: write the requests to this file in place of asking; ``batch_in``: take the
                answers from that file.
            strict: stop at the first run that is rejected.
            dry_run: count only; nothing is asked or stored, and no bank is made.
            progress: called with (stage, done, total or None).

        Returns:
            What came in and what came of it; ``why_nothing`` says why nothing was learned.

        Raises:
            UsageError: a path, mapping, recipe or recorded file cannot be used, or no writer named.
            RunRejected: a run was rejected and ``strict`` is set.
            ModelUnavailable: the writer answers nothing; what it had answered is stored.
            BankError: the bank cannot be written.
        """
        from memcollab.sources import load_mapping, read_runs

        intake = Intake(frozenset(exclude_agents), progress)
        read = read_runs(
            paths,
            mapping=load_mapping(mapping) if mapping else None,
            strict=strict,
            on_skip=intake.skipped.append,
        )
        if dry_run:
            summaries = [run.summary for run in intake.judged_runs(read)]
            contrasts = self._contrasts(summaries, strongest_first, max_contrasts)
            return _report(intake, summaries, contrasts, recipe=self.recipe.name, dry_run=True)
        model = None if batch_out else _writer(writer, writer_url, key, batch_in)
        name = model.name if model else str(writer or "writer")
        added = self.bank.add_trajectories(intake.judged_runs(read))
        summaries = list(self.bank.summaries(intake.tasks))
        contrasts = self._contrasts(summaries, strongest_first, max_contrasts)
        self.bank.save_contrasts(contrasts)
        report = _report(intake, summaries, contrasts, recipe=self.recipe.name).model_copy(
            update={"known": added.known, "writer": name}
        )
        requests = [self._request(contrast) for contrast in self._unanswered(contrasts, name)]
        if model is None:
            _write_batch(requests, name, Path(str(batch_out)))
            return report.model_copy(update={"pending": len(requests)})
        askable = _askable(requests, model)
        asked = asyncio.run(self._distil(askable, model, parallel, progress))
        self.bank.merge(self._merge_plan, actor=f"learn with {name}")
        return report.model_copy(
            update={
                **asked,
                "pending": len(requests) - len(askable),
                **self._came_of(contrasts, name),
            }
        )

    def _contrasts(
        self, runs: Sequence[RunSummary], strongest_first: Sequence[str], limit: int | None
    ) -> list[Contrast]:
        found = select_contrasts(runs, self.recipe, strongest_first=strongest_first)
        if limit is None:
            return found
        # The best of every task before the second best of any: a cut should cost breadth last.
        seen: Counter[str] = Counter()
        ranked = []
        for contrast in found:
            ranked.append((seen[contrast.task_id], contrast.id, contrast))
            seen[contrast.task_id] += 1
        return [contrast for _, _, contrast in sorted(ranked, key=lambda entry: entry[:2])][:limit]

    def _unanswered(self, contrasts: Sequence[Contrast], writer: str) -> list[Contrast]:
        hashes = {prompt_hash(contrast.kind, self.recipe) for contrast in contrasts}
        waiting = {found.id for found in self.bank.contrasts(unanswered=(writer, hashes))}
        return [contrast for contrast in contrasts if contrast.id in waiting]

    def _request(self, contrast: Contrast) -> Request:
        preferred = self.bank.trajectory(contrast.preferred)
        other = self.bank.trajectory(contrast.other)
        return request_for(contrast, preferred.task, preferred, other, self.recipe)

    async def _distil(
        self,
        requests: Sequence[Request],
        writer: LanguageModel,
        parallel: int,
        progress: Progress | None,
    ) -> dict[str, object]:
        """Ask the writer and store what comes, each answer with its screened drafts at once."""
        tiers: Counter[str] = Counter()
        failures: list[str] = []
        usage = Usage()
        done = 0
        categoriser = self._train()
        async for result in distil(requests, writer, parallel=parallel):
            done += 1
            if progress:
                progress("asking the writer", done, len(requests))
            if isinstance(result, Failed):
                failures.append(f"{result.request.contrast.id}: {result.error}")
                continue
            tiers[result.tier] += 1
            usage = usage + result.answer.usage
            self._keep(result, writer.name, categoriser)
        return {
            "asked": done,
            "failed": len(failures),
            "failures": tuple(failures[:1000]),
            "tiers": dict(tiers),
            "usage": usage,
        }

    def _keep(self, result: Distilled, writer: str, categoriser: Categoriser) -> None:
        """Screen the drafts of one answer and store them with it."""
        request = result.request
        preferred = self.bank.trajectory(request.contrast.preferred)
        other = self.bank.trajectory(request.contrast.other)
        category = categoriser.decide(preferred.task).top
        refusals = self._refusals(result, _source_text(preferred, other))
        screened = [
            Screened(
                draft=draft,
                category=category,
                harness=preferred.agent.harness if draft.scope == "harness" else None,
                refusal=refusal,
                writer=writer,
                prompt_hash=request.prompt_hash,
                recipe=self.recipe.name,
            )
            for draft, refusal in refusals
        ]
        answer = StoredAnswer(
            request_id=request.prompt.id,
            contrast_id=request.contrast.id,
            writer=writer,
            prompt_hash=request.prompt_hash,
            tier=result.tier,
            text=result.answer.text,
            usage=result.answer.usage,
        )
        self.bank.save_answer(answer, screened)

    def _refusals(
        self, result: Distilled, source: SourceText
    ) -> Iterator[tuple[Draft, Refusal | None]]:
        from memcollab.screen import screen

        for draft in result.drafts:
            yield draft, screen(draft, source, self._models) if self.recipe.screen else None
        for draft in result.surplus:
            limit = result.request.limit
            yield draft, Refusal(reason="surplus", detail=f"beyond {limit} of one contrast")

    @cached_property
    def _models(self) -> frozenset[str]:
        """Names of every model whose runs the bank holds: no constraint may speak of one."""
        return frozenset(run.agent.model for run in self.bank.summaries())

    def _merge_plan(self, pending: Sequence[Pending], existing: Sequence[Constraint]) -> Merge:
        accepted = [
            Accepted(
                draft=entry.draft,
                category=entry.category,
                harness=entry.harness,
                task_id=entry.task_id,
                family_right=entry.family_right,
                family_wrong=entry.family_wrong,
            )
            for entry in pending
        ]
        plan = merge(accepted, existing, self._similarity, self.recipe)
        constraints = {constraint.id: constraint for constraint in (*existing, *plan.created)}
        assigned = {draft: constraints[found] for draft, found in plan.belongs.items()}
        return Merge(assigned=assigned, conflicts=plan.conflicts)

    def _similarity(self, first: Sequence[str], second: Sequence[str]) -> Vectors:
        return self._vectors(first) @ self._vectors(second).T

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        """Vectors of ``texts`` in order, from the bank's cache where it has them."""
        held = self.bank.vectors(self.embedder.name, texts)
        missing = [text for text in dict.fromkeys(texts) if text not in held]
        if missing:
            held.update(zip(missing, self.embedder.embed(missing), strict=True))
        if not texts:
            return np.zeros((0, self.embedder.dim), np.float32)
        return np.stack([held[text] for text in texts])

    def _embed(self, texts: Sequence[str]) -> Vectors:
        """``_vectors``, and keep in the bank what had to be made."""
        vectors = self._vectors(texts)
        self.bank.save_vectors(self.embedder.name, dict(zip(texts, vectors, strict=True)))
        return vectors

    def _came_of(self, contrasts: Sequence[Contrast], writer: str) -> dict[str, object]:
        """What the drafts of these contrasts came to, whenever they were written."""
        drafts = self.bank.drafts([contrast.id for contrast in contrasts], writer=writer)
        refused = Counter(entry.refusal.reason for entry, _ in drafts if entry.refusal)
        constraints = {found for _, found in drafts if found}
        accepted = len(drafts) - refused.total()
        return {
            "distilled": len(drafts),
            "accepted": accepted,
            "refused": dict(sorted(refused.items())),
            "constraints": len(constraints),
            "merged": accepted - len(constraints),
        }

    # ---- recalling

    def recall(
        self,
        task: str | Task,
        *,
        agent: str | Agent = "any",
        harness: str | None = None,
        category: str | Category | None = None,
        limit: int | None = None,
    ) -> Recall:
        """The few constraints that fit ``task``, by its category first; no model is asked.

        Args:
            task: what the agent is to do.
            agent: the model that will do it, or an ``Agent``.
            harness: the loop and tools it works in; opens constraints of that harness.
            category: where to file the task, ``name`` or ``name/subcategory``; else it is judged.
            limit: constraints at most; else the recipe's.

        Returns:
            ``guidance`` to put before the task, ``entries`` with scores and reasons, or
            ``abstained`` with the reason. Stored, so that an outcome can be tied to it.

        Raises:
            UsageError: the task is empty, or there is no such category.
            BankError: there is no bank, or it cannot be used.
            ModelError: a named embedder gave no vector.
        """
        clock = _Clock()
        asked = _task(task, category, self.taxonomy)
        who = agent if isinstance(agent, Agent) else Agent(model=agent, harness=harness)
        recipe = self.recipe.model_copy(update={"limit": limit}) if limit else self.recipe
        index, categoriser = self._fresh()
        clock.lap("refresh")
        vector = self.embedder.embed([asked.text])[0]
        clock.lap("embed")
        decision = categoriser.decide(asked, vector)
        clock.lap("categorise")
        found = search(asked, who, decision, index, recipe, vector)
        clock.skip(found.timings)
        guidance = write_guidance(
            [entry.constraint for entry in found.entries], recipe.guidance_tokens
        )
        clock.lap("guidance")
        recall = Recall(
            id=f"recall-{uuid4().hex[:20]}",
            task=asked,
            agent=who,
            decision=decision,
            entries=tuple(e for e in found.entries if e.constraint.id in guidance.shown),
            abstained=found.abstained,
            guidance=guidance.text,
            guidance_tokens=guidance.tokens,
            recipe=recipe.name,
            bank_sequence=self._sequence,
            timings=clock.timings,
        )
        self.bank.save_recall(recall)
        return recall

    def _fresh(self) -> tuple[Index, Categoriser]:
        """The index and the categoriser as of the bank's last change, whoever made it."""
        sequence = self.bank.sequence()
        if self._index is None or self._categoriser is None or sequence != self._sequence:
            self._index = self._index or Index(self._embed)
            changed = self.bank.index_rows(max(self._sequence, 0))
            ids = {task for row in changed.rows for task in row.task_ids}
            texts = {task.id: task.text for task in self.bank.tasks(ids)} if ids else {}
            self._index.update(
                (IndexRow(row.constraint, row.task_ids) for row in changed.rows), texts
            )
            self._sequence = changed.sequence
            self._train()
        assert self._categoriser is not None  # _train has just set it
        return self._index, self._categoriser

    def record_outcome(
        self,
        recall: Recall | str,
        solved: bool | None,
        *,
        usage: Usage | None = None,
        detail: str | None = None,
    ) -> Outcome:
        """Store how the task of a recall ended, tied to the constraints that were shown.

        Args:
            recall: what ``recall`` returned, or its id.
            solved: None is unjudged: a crash, a time-out. It may be followed by a verdict.
            usage: what the run cost.
            detail: anything worth keeping about how it ended.

        Raises:
            NotFound: the bank holds no such recall.
            UsageError: the recall has another verdict already.
        """
        outcome = Outcome(
            recall_id=recall if isinstance(recall, str) else recall.id,
            solved=solved,
            usage=usage or Usage(),
            detail=detail,
        )
        self.bank.save_outcome(outcome)
        return outcome

    # ---- keeping

    def import_(self, stream: IO[bytes]) -> Imported:
        """Add what an export holds. Its words pass the same screen as drafts do; ids are derived
        again; what does not match is refused and counted."""
        from memcollab.screen import SourceText, screen

        nothing = SourceText(task_text="", run_texts=())

        def admit(found: Constraint | Draft) -> Refusal | None:
            words = {part: getattr(found, part) for part in ("when", "enforce", "avoid", "scope")}
            return screen(Draft(contrast_id="", **words), nothing, self._models)

        return self.bank.import_(stream, admit=admit if self.recipe.screen else None)

    def reindex(self) -> dict[str, int]:
        """Drop everything derived (vectors, the trained categoriser) and derive it from the text.

        Returns:
            Rows dropped, and constraints indexed again.
        """
        dropped = self.bank.reindex()
        self._index, self._categoriser, self._sequence = None, None, -1
        index, _ = self._fresh()
        for name in index.sizes:
            index.partition(name)
        return {"dropped": dropped, "indexed": len(index)}


def _report(
    intake: Intake,
    runs: Sequence[RunSummary],
    contrasts: Sequence[Contrast],
    *,
    recipe: str,
    dry_run: bool = False,
) -> LearnReport:
    kinds = Counter(contrast.kind for contrast in contrasts)
    return intake.report().model_copy(
        update={
            "tasks_mixed": mixed_tasks(runs),
            "contrasts": dict(sorted(kinds.items())),
            "recipe": recipe,
            "dry_run": dry_run,
        }
    )


def _writer(
    writer: str | LanguageModel | None,
    url: str | None,
    key: str | None,
    batch_in: str | Path | None,
) -> LanguageModel:
    if batch_in:
        return RecordedModel(batch_in)
    if writer is None:
        raise UsageError(
            "no writer was named, and distilling needs one. Valid: a model (--writer "
            "openai:gpt-5-mini), recorded answers (--batch-in FILE), requests for any other means "
            "(--batch-out FILE), or --dry-run to see what there is to learn"
        )
    return model_named(writer, url=url, key=key) if isinstance(writer, str) else writer


def _askable(requests: Sequence[Request], model: LanguageModel) -> Sequence[Request]:
    """Requests that the model can be asked; a recorded one knows those that were recorded.

    Raises:
        UsageError: answers were recorded, but none to any of these requests.
    """
    if not isinstance(model, RecordedModel):
        return requests
    found = [request for request in requests if request.prompt.id in model]
    if requests and not found:
        raise UsageError(
            f"none of the {len(model)} recorded answers is to one of the {len(requests)} requests "
            f"(the first is {requests[0].prompt.id!r}): they were recorded for other runs, another "
            "mapping, recipe or wording. Next: memcollab learn … --batch-out requests.jsonl"
        )
    return found


def _write_batch(requests: Sequence[Request], writer: str, path: Path) -> None:
    try:
        with path.open("wb") as file:
            for request in requests:
                line = batch_line(request, writer)
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise UsageError(
            f"cannot write the requests to {str(path)!r}: {error.strerror}. "
            "Next: give --batch-out another file"
        ) from error


def _source_text(preferred: Trajectory, other: Trajectory) -> SourceText:
    from memcollab.screen import SourceText, called_tools, final_answers

    runs = (preferred, other)
    texts = tuple(_text(run) for run in runs)
    called = {call.name for run in runs for step in run.steps for call in step.tool_calls}
    return SourceText(
        task_text=preferred.task.text,
        run_texts=texts,
        final_answers=tuple(answer for run in runs for answer in final_answers(_last_words(run))),
        tools=tuple(sorted(called.union(*map(called_tools, texts)))),
    )


def _text(run: Trajectory) -> str:
    """All that was said and done in a run, calls in the form ``name(arguments)``."""
    return "\n".join(
        "\n".join([step.content, *(f"{call.name}({call.arguments})" for call in step.tool_calls)])
        for step in run.steps
    )


def _last_words(run: Trajectory) -> str:
    """The last message of the agent: what stands before it is on the way to the answer."""
    said = (step.content for step in reversed(run.steps) if step.role == "assistant")
    return next(said, "")


def _task(task: str | Task, category: str | Category | None, taxonomy: Taxonomy) -> Task:
    if isinstance(task, str) and not task.strip():
        raise UsageError("the task is empty. Next: say in words what the agent is to do")
    found = Task(text=task) if isinstance(task, str) else task
    if category is None:
        return found
    return found.model_copy(update={"category": taxonomy.resolve(category)})


class _Clock:
    """Milliseconds between laps, by name."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.timings[name] = round((now - self._last) * 1000, 3)
        self._last = now

    def skip(self, timed: Mapping[str, float]) -> None:
        """Take in laps that were timed elsewhere and begin the next one now."""
        self.timings.update({name: round(spent, 3) for name, spent in timed.items()})
        self._last = time.perf_counter()
