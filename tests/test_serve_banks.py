"""`memcollab.serve.banks`: recalls are stored in groups, and answered when they are stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from memcollab.errors import BankError
from memcollab.records import Agent, CategoryDecision, Recall, Task
from memcollab.serve.banks import Keeper


class Store:
    """What a bank does with recalls: keeps them, group by group; ``full`` ones are refused."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.full: set[str] = set()
        self.open = threading.Event()
        self.open.set()

    def save(self, recalls: Sequence[Recall]) -> None:
        assert self.open.wait(10)
        names = [each.id for each in recalls]
        if self.full.intersection(names):
            raise BankError("the disk is full")
        self.groups.append(names)

    @property
    def names(self) -> list[str]:
        return [name for group in self.groups for name in group]


def recall(number: int) -> Recall:
    return Recall(
        id=f"recall-{number}",
        task=Task(text="count"),
        agent=Agent(model="owl"),
        decision=CategoryDecision(guesses=(), method="label"),
        entries=(),
    )


def test_what_is_ready_in_one_turn_is_one_group() -> None:
    """A hundred recalls of one turn are stored together, in order; one that comes while they are
    written goes into the next group; each returns when it is stored."""
    store = Store()

    async def ask() -> None:
        store.open.clear()
        first = [asyncio.ensure_future(keeper.keep(recall(n))) for n in range(100)]
        await asyncio.sleep(0.05)
        late = asyncio.ensure_future(keeper.keep(recall(100)))
        await asyncio.sleep(0.05)
        assert not store.groups
        assert not any(each.done() for each in [*first, late])
        store.open.set()
        await asyncio.gather(*first, late)

    keeper = Keeper(store.save)
    asyncio.run(ask())
    keeper.close()
    assert [len(group) for group in store.groups] == [100, 1]
    assert store.names == [f"recall-{n}" for n in range(101)]


def test_who_could_not_be_stored_is_told_and_the_others_are_stored() -> None:
    """All of a group that was refused are told why; the next group is stored as ever."""
    store = Store()
    store.full = {"recall-1"}

    async def ask() -> list[object]:
        told = await asyncio.gather(
            *(keeper.keep(recall(n)) for n in range(3)), return_exceptions=True
        )
        await keeper.keep(recall(3))
        return list(told)

    keeper = Keeper(store.save)
    told = asyncio.run(ask())
    keeper.close()
    assert [str(each) for each in told] == ["the disk is full"] * 3
    assert store.names == ["recall-3"]


def test_a_loop_that_ended_holds_up_no_other() -> None:
    """Who waits in a loop that is gone is not told; what it had asked for is stored all the same,
    and so is what other loops ask for."""
    store = Store()

    async def ask_and_leave() -> None:
        store.open.clear()
        gone = asyncio.ensure_future(keeper.keep(recall(0)))
        await asyncio.sleep(0.05)
        gone.cancel()

    keeper = Keeper(store.save)
    asyncio.run(ask_and_leave())
    store.open.set()
    asyncio.run(asyncio.wait_for(keeper.keep(recall(1)), 10))
    keeper.close()
    assert store.names == ["recall-0", "recall-1"]


def test_what_waits_at_the_end_is_stored() -> None:
    """Closing stores what was asked for and not begun yet, and who comes later is refused."""
    store = Store()

    async def ask() -> None:
        store.open.clear()
        written = asyncio.ensure_future(keeper.keep(recall(0)))
        await asyncio.sleep(0.05)
        waiting = asyncio.ensure_future(keeper.keep(recall(1)))
        await asyncio.sleep(0.05)
        closing = asyncio.ensure_future(asyncio.to_thread(keeper.close))
        await asyncio.sleep(0.05)
        store.open.set()
        await asyncio.gather(written, waiting, closing)
        with pytest.raises(BankError, match="is ending"):
            await keeper.keep(recall(2))

    keeper = Keeper(store.save)
    asyncio.run(ask())
    assert store.names == ["recall-0", "recall-1"]
