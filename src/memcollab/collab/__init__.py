"""The one object users hold, and the only file that knows the order of the stages.

    runs → sources → contrast → distill → screen → merge → bank
    task → taxonomy → recall → evidence → guide
    outcome → evidence

What comes in at any of its doors (runs, tasks, details of outcomes) passes ``scrub`` first.

Learning is idempotent: runs, contrasts and answers have content ids, what the bank holds is not
asked or paid for again, and constraints are made in one transaction at the end from what is
stored, in an order that does not depend on when it came. A learn that is killed anywhere and
started again therefore ends in the same bank.

``intake``     runs as they come in: counted, judged, without our own guidance
``writers``    who answers: a model, recorded answers, a batch file
``learning``   the steps from judged runs to constraints
``screening``  what drafts and imports have to pass
``derived``    vectors and the categoriser, from the bank's caches
``experience`` what outcomes say of what is found
``serving``    the index, and the way of one task through it
``proof``      does memory help, and does it pay
``remote``     the same object over a server's bank
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, cast

# First, though nothing here uses it: imported from deep inside the bank it costs 20 ms more of the
# 350 before a recall, because CPython then takes and returns a piece of its stack at every step.
import numpy  # noqa: F401
from pydantic import ValidationError

from memcollab.bank import LOCAL, Bank, Imported
from memcollab.collab.derived import Derived
from memcollab.collab.experience import PATIENCE_SECONDS, Experience
from memcollab.collab.intake import Intake, Progress, without_guidance
from memcollab.collab.serving import Serving
from memcollab.embed import Embedder, bundled
from memcollab.errors import UsageError
from memcollab.evidence import Rules
from memcollab.recipe import Recipe
from memcollab.recipe import recipe as recipe_named
from memcollab.records import (
    Agent,
    Category,
    Constraint,
    Effect,
    EvidenceReport,
    LearnReport,
    Outcome,
    Recall,
    Rejected,
    Task,
    Trajectory,
    Usage,
)
from memcollab.scrub import Scrubber
from memcollab.taxonomy import Taxonomy

# What only learning needs (``sources`` to ``merge``, and ``models``) is imported where learning
# begins, so that a cold `memcollab recall` does not wait for it.
if TYPE_CHECKING:
    from memcollab.distill import Request
    from memcollab.models import LanguageModel

__all__ = ["Intake", "MemCollab", "Progress", "without_guidance"]


class MemCollab:
    """One shared memory: learn from runs, recall for a task, record how it ended.

    Args:
        bank: path of the bank; made when something is learned into it. Or the URL of a bank that
            ``memcollab serve`` serves: the same methods, with the server's recipe, taxonomy,
            embedder and writer in place of one's own.
        key: opens a bank behind a URL.
        recipe: a recipe or its name: ``default``, ``paper-v1``, ``paper-v2``.
        taxonomy: a TOML file in place of the built-in categories.
        embedder: in place of the bundled one.
        holdout: share of recalls, and of entries, that are withheld at random as evidence of what
            helps; 0 to below 1; else the recipe's (0).
        holdout_start: that share before outcomes are known; halved down to ``holdout``.
        create: make the bank if it is not there.
        patience: seconds of processor time from which on no recall waits for what new outcomes say:
            a thread finds out, and recalls go by what was known. ``math.inf``: each waits, and the
            same bank always gives the same recall.

    Raises:
        UsageError: no such recipe, an unusable taxonomy, a holdout or patience that cannot be.
        BankError: the bank cannot be opened (when it is first needed).
        AccessDenied, ServerError: of a bank behind a URL, from every method.
    """

    def __new__(cls, bank: str | Path = "memcollab.db", **_given: Any) -> Self:
        """A URL makes the object that asks a server."""
        if cls is MemCollab and str(bank).startswith(("http://", "https://")):
            from memcollab.collab.remote import RemoteMemCollab

            return cast("Self", object.__new__(RemoteMemCollab))
        return object.__new__(cls)

    def __init__(
        self,
        bank: str | Path = "memcollab.db",
        *,
        key: str | None = None,
        recipe: str | Recipe = "default",
        taxonomy: Path | None = None,
        embedder: Embedder | None = None,
        holdout: float | None = None,
        holdout_start: float | None = None,
        create: bool = True,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        if key is not None:
            raise UsageError(
                f"a key was given with {str(bank)!r}, which is a path. Valid: a key with a URL. "
                "Next: give MemCollab the URL of the server's bank, or no key"
            )
        if not patience >= 0:
            raise UsageError(
                f"patience cannot be {patience!r}. Valid: seconds, 0 or above. Next: leave it out"
            )
        self.recipe = _holding_out(recipe_named(recipe), holdout, holdout_start)
        self.taxonomy = Taxonomy.load(taxonomy)
        self._path = bank
        self._create = create
        self._patience = patience
        self._embedder = embedder

    @cached_property
    def bank(self) -> Bank:
        """The bank, opened when first needed."""
        return Bank.open(self._path, create=self._create)

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder, loaded when first needed."""
        return self._embedder or bundled()

    @cached_property
    def _derived(self) -> Derived:
        return Derived(self.bank, self.taxonomy, self.embedder)

    @cached_property
    def _serving(self) -> Serving:
        return Serving(self.bank, self._derived, self.embedder, self._experience)

    @cached_property
    def _experience(self) -> Experience:
        return Experience(self.bank, self.recipe.evidence, self._patience)

    def _forget_derived(self) -> None:
        self.__dict__.pop("_serving", None)
        self.__dict__.pop("_derived", None)
        experience = self.__dict__.pop("_experience", None)
        if experience is not None:
            experience.close()

    def close(self) -> None:
        """Close the bank, if it was opened; a look at its outcomes that is under way is waited
        for."""
        self._forget_derived()
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
        source: str = LOCAL,
        trusted: bool = True,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> LearnReport:
        """Learn from runs: read, contrast, distil, screen, merge, store.

        Args:
            paths: files, archives or folders of runs; without any, the runs that the bank holds.
            writer: the model that distils: ``provider:model``, ``recorded:FILE``, or an object.
            writer_url: an OpenAI-compatible server of the writer; ``key`` opens it.
            mapping: a TOML file that says how to read foreign runs.
            strongest_first: model names, for the paper's recipes; else read off the runs.
            exclude_agents: models whose runs are left out.
            max_contrasts: distil at most so many, spread over the tasks.
            batch_out: write the requests to this file in place of asking; ``batch_in``: take the
                answers from that file.
            strict: stop at the first run that is rejected.
            source: who brought these runs: a person, a team, a folder.
            trusted: whether to believe them. What only untrusted sources support is quarantined
                until enough independent ones do (``recipe.independent_sources``), or somebody
                approves it.
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
        from memcollab.collab import learning, writers
        from memcollab.sources import load_mapping, read_runs

        intake = Intake(frozenset(exclude_agents), progress)
        read: Iterable[Trajectory | Rejected] = ()
        if paths:
            read = read_runs(
                paths,
                mapping=load_mapping(mapping) if mapping else None,
                strict=strict,
                on_skip=intake.skipped.append,
            )
        runs = intake.judged_runs(read)
        choose = partial(
            learning.choose_contrasts,
            recipe=self.recipe,
            strongest_first=strongest_first,
            limit=max_contrasts,
        )
        if dry_run:
            summaries = [run.summary for run in runs] if paths else list(self.bank.summaries())
            report = learning.report_of(intake, summaries, choose(summaries), self.recipe)
            return report.model_copy(update={"dry_run": True})
        if batch_out:
            answers_from: Path | LanguageModel = Path(batch_out)
            name = writers.name_in_batch(writer)
        else:
            answers_from = writers.writer_of(writer, writer_url, key, batch_in)
            name = answers_from.name
        added = self.bank.add_trajectories(runs, source=source, trusted=trusted)
        mine = intake.tasks if paths else None
        summaries = list(self.bank.summaries(mine, retracted=False))
        retracted = sum(1 for _ in self.bank.summaries(mine)) - len(summaries)
        contrasts = choose(summaries)
        self.bank.save_contrasts(contrasts)
        report = learning.report_of(intake, summaries, contrasts, self.recipe)
        requests = learning.open_requests(self.bank, contrasts, name, self.recipe)
        if isinstance(answers_from, Path):
            writers.write_batch(requests, name, answers_from)
            came: dict[str, object] = {"pending": len(requests)}
        else:
            came = self._distil(requests, answers_from, parallel, progress)
            came |= learning.came_of(self.bank, contrasts, name)
        stored = {"known": added.known, "retracted": retracted, "writer": name}
        return report.model_copy(update={**stored, **came})

    def add_runs(
        self,
        *paths: str | Path,
        mapping: str | Path | None = None,
        strict: bool = False,
        source: str = LOCAL,
        trusted: bool = True,
    ) -> LearnReport:
        """Read runs into the bank and learn nothing from them yet; ``learn()`` does, later.

        Raises:
            UsageError: a path or the mapping cannot be used.
            RunRejected: a run was rejected and ``strict`` is set.
        """
        from memcollab.sources import load_mapping, read_runs

        skipped: list[str] = []
        read = read_runs(
            paths,
            mapping=load_mapping(mapping) if mapping else None,
            strict=strict,
            on_skip=skipped.append,
        )
        report = self.add_trajectories(read, source=source, trusted=trusted)
        return report.model_copy(update={"skipped_files": tuple(skipped)})

    def add_trajectories(
        self,
        runs: Iterable[Trajectory | Rejected],
        *,
        source: str = LOCAL,
        trusted: bool = True,
    ) -> LearnReport:
        """Store those runs that are judged, without secrets and without our own guidance. Who
        brought them (``source``), and whether to believe that, is as for ``learn``.

        Returns:
            The counts of what came in: ``seen``, ``judged``, ``rejected``, ``known`` and so on.
        """
        intake = Intake(frozenset(), None)
        added = self.bank.add_trajectories(intake.judged_runs(runs), source=source, trusted=trusted)
        return intake.report().model_copy(update={"known": added.known, "recipe": self.recipe.name})

    def _distil(
        self,
        requests: Sequence[Request],
        writer: LanguageModel,
        parallel: int,
        progress: Progress | None,
    ) -> dict[str, object]:
        """Ask the writer, and make constraints of all that any learn has left pending."""
        from memcollab.collab import learning, writers

        askable = writers.askable(requests, writer)
        categoriser = self._derived.train()
        self._derived.save()
        keeper = learning.Keeper(self.bank, self.recipe, writer.name, categoriser)
        asked = asyncio.run(
            learning.ask(askable, writer, keeper.keep, parallel=parallel, progress=progress)
        )
        plan = partial(
            learning.merge_plan,
            similarity=self._derived.similarity,
            recipe=self.recipe,
            quarantined_on_purpose=self.bank.decided("quarantined"),
        )
        needed = self.recipe.independent_sources
        self.bank.merge(plan, actor=f"learn with {writer.name}", needed=needed)
        return {**asked, "pending": len(requests) - len(askable)}

    # ---- recalling

    def recall(
        self,
        task: str | Task,
        *,
        agent: str | Agent = "any",
        harness: str | None = None,
        category: str | Category | None = None,
        limit: int | None = None,
        store: bool = True,
        keep: Callable[[Recall], None] | None = None,
    ) -> Recall:
        """The few constraints that fit ``task``, by its category first; no model is asked.

        Args:
            task: what the agent is to do.
            agent: the model that will do it, or an ``Agent``.
            harness: the loop and tools it works in; opens constraints of that harness.
            category: where to file the task, ``name`` or ``name/subcategory``; else it is judged.
            limit: constraints at most; else the recipe's.
            store: keep the recall, so that an outcome can be tied to it. With False nothing at all
                is written to the bank, not even its caches, and nothing is withheld as evidence.
            keep: takes the recall in place of the bank, to store it later (``Bank.save_recalls``).

        Returns:
            ``guidance`` to put before the task, ``entries`` with scores and reasons, or
            ``abstained`` with the reason. What a coin withheld is in ``entries`` and not in
            ``guidance``; ``shown`` has the ids of what is.

        Raises:
            UsageError: the task is empty, or there is no such category.
            BankError: there is no bank, or it cannot be used.
            ModelError: a named embedder gave no vector.
        """
        asked = _task(task, category, self.taxonomy)
        who = agent if isinstance(agent, Agent) else Agent(model=agent, harness=harness)
        recipe = self.recipe.model_copy(update={"limit": limit}) if limit else self.recipe
        recall = self._serving.recall(asked, who, recipe, coins=store)
        if store:
            self._derived.save()
            (keep or self.bank.save_recall)(recall)
        return recall

    def warm(self) -> int:
        """Load all that recall needs and bring it up to date; how many constraints there are. The
        first recall does the same for its category."""
        count = self._serving.build()
        self._derived.save()
        return count

    def record_outcome(
        self,
        recall: Recall | str,
        solved: bool | None,
        *,
        usage: Usage | None = None,
        detail: str | None = None,
        source: str = "",
    ) -> Outcome:
        """Store how the task of a recall ended, tied to the constraints that were shown. Every so
        many outcomes the bank is assessed, and what hurts in general is retired.

        Args:
            recall: what ``recall`` returned, or its id.
            solved: None is unjudged: a crash, a time-out. It may be followed by a verdict.
            usage: what the run cost.
            detail: anything worth keeping about how it ended.
            source: who reports it, where that is not to be trusted alone: what only one named
                source says is not believed. Left out: trusted.

        Raises:
            NotFound: the bank holds no such recall; one of ``store=False`` it never does.
            UsageError: the recall has another verdict already.
        """
        outcome = Outcome(
            recall_id=recall if isinstance(recall, str) else recall.id,
            solved=solved,
            usage=usage or Usage(),
            detail=detail and Scrubber().text(detail),
            source=source,
        )
        self._experience.retire(self.bank.save_outcome(outcome))
        return outcome

    def evidence(self) -> EvidenceReport:
        """Does memory help, whom, where, how sure is that, and what did it cost and save?

        Returns:
            Uplift by category × agent and by constraint × agent with intervals that hold however
            often one looks, counts, the cost of learning, tokens and turns saved; ``summary`` says
            it in words, ``following`` what to do next.

        Raises:
            BankError: there is no bank, or it cannot be used.
        """
        from memcollab.collab.proof import prove

        return prove(self.bank, self.recipe.evidence or Rules())

    def effects(self, constraint: str) -> tuple[Effect, ...]:
        """What outcomes say of one constraint, with all agents and with each; empty where it was
        never found for a task that ended.

        Raises:
            NotFound: the bank has no such constraint.
        """
        from memcollab.collab.proof import effects

        return effects(self.bank, constraint, self.recipe.evidence)

    # ---- keeping

    def edit(
        self,
        constraint: str,
        *,
        when: str | None = None,
        enforce: str | None = None,
        avoid: str | None = None,
        actor: str,
        reason: str | None = None,
    ) -> Constraint:
        """Say a constraint in other words, which pass the same screen as drafts do. The edited one
        is superseded: retired, and kept as it was.

        Args:
            constraint: its id, or the beginning of it.
            actor: who edits; the change log keeps it, and the reason.

        Returns:
            The successor, behind which stands what stood behind the edited one.

        Raises:
            NotFound: the bank has no such constraint.
            UsageError: nothing changes, it is retired, or the words are refused.
        """
        from memcollab.collab.screening import check_words

        words = {"when": when, "enforce": enforce, "avoid": avoid}
        if self.recipe.screen:
            check_words(self.bank, self.bank.constraint(constraint), words)
        needed = self.recipe.independent_sources
        return self.bank.edit(constraint, **words, actor=actor, reason=reason, needed=needed)

    def import_(
        self,
        stream: IO[bytes],
        *,
        trust_keys: Collection[str] = (),
        trusted: bool = False,
        source: str | None = None,
        origin: str = "import",
    ) -> Imported:
        """Add what an export holds. Its words pass the same screen as drafts do; ids are derived
        again; what does not match is refused and counted.

        An export is believed if one of ``trust_keys`` signed it, or if ``trusted`` says so. What
        only others support is quarantined.

        Args:
            trust_keys: public keys (base64, as ``memcollab bank key`` prints them).
            trusted: believe it as it is; a signature must still be right.
            source: who it comes from; else the signer, or the file called ``origin``.

        Raises:
            BankError: it is no export, or was changed after it was signed; nothing is imported.
            MissingExtra: it is signed, and the extra ``sign`` is not installed.
        """
        from memcollab.bank import signing
        from memcollab.collab.screening import admission

        with signing.checked(stream) as (content, signer):
            believed = trusted or signer in signing.public_keys(trust_keys)
            return self.bank.import_(
                content,
                admit=admission(self.bank) if self.recipe.screen else None,
                source=source or (f"signer:{signer}" if signer else f"file:{origin}"),
                trusted=believed,
                needed=self.recipe.independent_sources,
            )

    def reindex(self) -> dict[str, int]:
        """Drop everything derived (vectors, the trained categoriser) and derive it from the text.

        Returns:
            Rows dropped, and constraints indexed again.
        """
        dropped = self.bank.reindex()
        self._forget_derived()
        indexed = self._serving.build()
        self._derived.save()
        return {"dropped": dropped, "indexed": indexed}


def _holding_out(recipe: Recipe, holdout: float | None, start: float | None) -> Recipe:
    """The recipe with what is given of its holdout."""
    given = {"holdout": holdout, "holdout_start": start}
    given = {name: value for name, value in given.items() if value is not None}
    if recipe.evidence is None:
        if holdout:
            raise UsageError(
                f"holdout is {holdout!r}, and outcomes decide nothing in the recipe "
                f"{recipe.name!r}. Next: holdout 0, or the recipe 'default'"
            )
        return recipe
    try:
        rules = Rules.model_validate(recipe.evidence.model_dump() | given)
    except ValidationError as error:
        raise UsageError(
            f"holdout {holdout!r} with holdout_start {start!r} cannot be: "
            f"{error.errors()[0]['msg']}. Valid: 0 to below 1, holdout at most holdout_start. "
            "Next: holdout=0.1"
        ) from error
    return recipe.model_copy(update={"evidence": rules})


def _task(task: str | Task, category: str | Category | None, taxonomy: Taxonomy) -> Task:
    if isinstance(task, str) and not task.strip():
        raise UsageError("the task is empty. Next: say in words what the agent is to do")
    # Secrets of a task are neither stored with its recall nor sent to an embedder elsewhere.
    found = Scrubber().task(Task(text=task) if isinstance(task, str) else task)
    if category is None:
        return found
    return found.model_copy(update={"category": taxonomy.resolve(category)})
