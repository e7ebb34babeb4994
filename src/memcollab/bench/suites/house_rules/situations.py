"""What is to be done with each tool, level by level.

A level is a set of sentences, the calls that a task names, and a function that draws one situation:
the words of the sentence, the state at the start, what has to be left, a program that does it and
programs that do what the signatures suggest. Each of the latter breaks one convention.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Books = dict[str, dict[str, Any]]
T = TypeVar("T")

# Each convention said in a sentence, as somebody who found out would say it: no task and no tool
# says it so. What a tool's tasks need, in the order of their levels.
CONVENTIONS: dict[str, tuple[str, ...]] = {
    "kiosk": (
        "the word that lets somebody in is dusk",
        "amounts are whole cents",
        "unlock the drawer before every single payment",
    ),
    "halls": (
        "the keys hang on hook K7",
        "the day is written DD.MM.YYYY",
        "times are four digits HHMM in the 24-hour clock",
        "pass the number that cancel returns to confirm",
    ),
    "parcels": (
        "the van drives on line E2",
        "parcel names are in capital letters",
        "weights are in whole grams",
        "call hand_over again until it returns 0",
    ),
    "timesheet": (
        "the code of an excused day is U9",
        "worked time is in whole minutes",
        "times are four digits HHMM in the 24-hour clock",
        "call sign before record, and hand_in last",
    ),
    "stockroom": (
        "orders go to the supplier Nordhof",
        "what comes into the stock is a negative count",
        "shelves are a capital letter, a dash and two digits, like B-07",
        "call recount for an article right before write_off",
    ),
    "loans": (
        "pieces are insured with Aldus",
        "borrowers are written surname first, with a comma",
        "the day is written DD.MM.YYYY",
        "call photograph first, then pack, then ship",
    ),
    "sprinkler": (
        "all beds are fed with mix K3",
        "days are three capital letters, like MON",
        "times are four digits HHMM in the 24-hour clock",
        "open the valve before the pump is switched on",
    ),
    "messenger": (
        "notices are pinned to the board roof",
        "people are addressed with @ and the name in lower case",
        "5 is the highest priority and 1 the lowest",
        "call relay again until it returns 200",
    ),
    "members": (
        "guests are welcomed on the green sheet",
        "member numbers are text of five digits with leading zeros",
        "the day is written DD.MM.YYYY",
        "pages count from 0, and the last one is followed by an empty page",
    ),
    "vault": (
        "the phrase for the reading room is ember",
        "call discard or relocate twice",
        "shelves are a capital letter, a dash and two digits, like B-07",
        "copy the box before it is burnt, and pass the slip to confirm",
    ),
}

_POOLS = {
    "person": (
        "Ada Bela Cora Dario Edda Finn Greta Hugo Ines Jonas Kaja Levin Mira Nuno Olga "
        "Pavel Rosa Sami Tilda Ugo Vera Wanda Xenia Yara Zoe"
    ).split(),
    "surname": (
        "Adler Brandt Castro Dahl Egger Falk Gruber Hansen Iversen Jansen Keller Lind Moser "
        "Novak Olsen Pohl Quist Rossi Seidel Thoma Urban Vogel Weber Zeller"
    ).split(),
    "item": (
        "bread butter candles cheese coffee flour gloves honey ink jam juice lamps matches "
        "milk mustard newspapers olives paper pears pens rice salt soap stamps sugar tea "
        "thread umbrellas vinegar yarn"
    ).split(),
    "article": (
        "lamps vases chairs mirrors rugs clocks bowls baskets stools kettles pans frames "
        "curtains cushions shelves tables trays jugs ladders benches hooks blankets buckets "
        "candles"
    ).split(),
    "piece": (
        "amphora armour bell brooch cannon carpet chalice clock coin compass crown dagger "
        "drum fan flute globe goblet harp helmet idol lantern lute map mask medal mosaic "
        "quilt saddle shield"
    ).split(),
    "town": (
        "Arden Brill Corwen Dornach Elm Fulda Gorey Husum Ilmen Jever Kempten Lugo Moss "
        "Nyon Oban Pirna Ribe Selb Tarnow Ulm Varna Wels Ystad Zug"
    ).split(),
    "hall": ("red blue green white old new large small upper lower north south").split(),
    "group": (
        "choir band scouts chess dance theatre yoga quilting judo film garden history brass "
        "reading knitting bridge cooking photo drama painting"
    ).split(),
    "bed": (
        "roses tulips lilies herbs ferns dahlias asters poppies peonies daisies irises "
        "violets lavender sage mint thyme heather azaleas begonias orchids"
    ).split(),
    "file": (
        "minutes ledger diary census charter atlas deeds petition register sketches "
        "accounts letters photographs plans receipts permits tables wills contracts notes "
        "reports"
    ).split(),
    "text": (
        "the bus is late,lunch is at noon,bring the blue folder,the gate is open,"
        "the meeting is over,please call the office,the key is under the mat,"
        "the lift is repaired,water is off today,the train leaves early,"
        "the room is taken,take the spare keys,the doctor is here,the road is closed,"
        "tickets are sold out,the parcel has come,the lamp is broken,"
        "the boat is ready,rain is coming,the cake is cut,the guests are here"
    ).split(","),
    "letter": ("a b c d e f g h k m n p r s t v w x z").split(),
}
_MONTHS = (
    "January February March April May June July August September October November December".split()
)
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


class Draw:
    """Lots drawn for the tasks of one tool; from a pool, none comes twice until all have come."""

    def __init__(self, lot: random.Random) -> None:
        self._lot = lot
        self._left: dict[str, list[str]] = {}

    def one(self, pool: str) -> str:
        """A name or thing of a pool."""
        if not self._left.get(pool):
            self._left[pool] = self.shuffled(_POOLS[pool])
        return self._left[pool].pop()

    def several(self, pool: str, number: int) -> list[str]:
        """Different names or things of a pool."""
        found: list[str] = []
        while len(found) < number:
            one = self.one(pool)
            if one not in found:
                found.append(one)
        return found

    def number(self, least: int, most: int) -> int:
        """A number, both ends included."""
        return self._lot.randint(least, most)

    def different(self, least: int, most: int, count: int) -> list[int]:
        """Different numbers, both ends included."""
        return self._lot.sample(range(least, most + 1), count)

    def pick(self, choices: Iterable[T]) -> T:
        """One of the choices."""
        return self._lot.choice(list(choices))

    def shuffled(self, things: Iterable[T]) -> list[T]:
        """The things in an order of chance."""
        found = list(things)
        self._lot.shuffle(found)
        return found

    def day(self) -> Day:
        """A day of 2026."""
        return Day(self.number(1, 28), self.number(1, 12))

    def shift(self) -> tuple[Clock, Clock]:
        """A time in the morning and one in the afternoon."""
        minutes = self.different(1, 11, 2)
        return (
            Clock(self.number(6, 11), minutes[0] * 5),
            Clock(self.number(13, 20), minutes[1] * 5),
        )


@dataclass(frozen=True)
class Situation:
    """One thing to be done with a tool.

    Attributes:
        words: fill the sentence.
        start, left: books → key → value, at the start and what has to be there at the end.
        right: lines that do it.
        naive: lines that do not, each for a reason of its own.
        whole: books in which nothing else may be left.
    """

    words: dict[str, str]
    start: Books
    left: Books
    right: tuple[str, ...]
    naive: tuple[tuple[str, ...], ...]
    whole: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Level:
    """Sentences of which each becomes one task, half of them in each part; the calls it names."""

    calls: tuple[str, ...]
    make: Callable[[Draw], Situation]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Day:
    """A day, as the tasks say it, as the house writes it and as a program would."""

    day: int
    month: int

    @property
    def said(self) -> str:
        return f"{self.day} {_MONTHS[self.month - 1]} 2026"

    @property
    def written(self) -> str:
        return f"{self.day:02d}.{self.month:02d}.2026"

    @property
    def iso(self) -> str:
        return f"2026-{self.month:02d}-{self.day:02d}"


@dataclass(frozen=True)
class Clock:
    """A time, as the tasks say it, as the house writes it and as a program would."""

    hour: int
    minute: int

    @property
    def said(self) -> str:
        return f"{(self.hour - 1) % 12 + 1}:{self.minute:02d} {'am' if self.hour < 12 else 'pm'}"

    @property
    def written(self) -> str:
        return f"{self.hour:02d}{self.minute:02d}"

    @property
    def iso(self) -> str:
        return f"{self.hour:02d}:{self.minute:02d}"


@dataclass(frozen=True)
class Money:
    """An amount, as the tasks say it, as the house counts it and as a program would."""

    cents: int

    @property
    def said(self) -> str:
        return f"{self.euros} euros"

    @property
    def euros(self) -> str:
        whole, rest = divmod(self.cents, 100)
        return f"{whole}.{rest:02d}" if rest else str(whole)


def _call(name: str, *given: Any) -> str:
    return f"{name}({', '.join(map(repr, given))})"


def _same_for_all(
    tool: str, call: str, pool: str, word: str, book: str
) -> Callable[[Draw], Situation]:
    """What the easiest level asks for: a word of the house that is the same in every task."""

    def make(draw: Draw) -> Situation:
        entity = draw.one(pool)
        return Situation(
            {"entity": entity},
            {book: {}},
            {book: {entity: True}},
            (_call(f"{tool}.{call}", entity, word),),
            ((_call(f"{tool}.{call}", entity, "please"),), (_call(f"{tool}.{call}", entity, ""),)),
        )

    return make


def _kiosk_price(draw: Draw) -> Situation:
    item, other = draw.several("item", 2)
    price = Money(draw.pick([draw.number(2, 30) * 100, draw.number(21, 199) * 5]))
    start = {"prices": {other: draw.number(21, 99) * 5}}
    return Situation(
        {"item": item, "price": price.said},
        start,
        {"prices": start["prices"] | {item: price.cents}},
        (_call("kiosk.set_price", item, price.cents),),
        ((f"kiosk.set_price({item!r}, {price.euros})",),),
    )


def _kiosk_refund(draw: Draw) -> Situation:
    receipt, item = f"R{draw.number(10, 99)}", draw.one("item")
    count, each = draw.number(2, 6), Money(draw.number(21, 120) * 5)
    whole = Money(count * each.cents)
    return Situation(
        {"receipt": receipt, "item": item, "count": str(count), "price": each.said},
        {"refunds": {}},
        {"refunds": {receipt: whole.cents}},
        (f"kiosk.refund({receipt!r}, {count} * {each.cents})",),
        (
            (f"kiosk.refund({receipt!r}, {count} * {each.euros})",),
            (_call("kiosk.refund", receipt, each.cents),),
        ),
    )


def _kiosk_pay(draw: Draw) -> Situation:
    names = draw.several("surname", 2)
    paid = [Money(draw.number(2, 30) * 100) for _ in names]
    right = [
        _call("kiosk.pay_out", *each) for each in zip(names, [p.cents for p in paid], strict=True)
    ]
    wrong = [
        f"kiosk.pay_out({name!r}, {each.euros})" for name, each in zip(names, paid, strict=True)
    ]
    unlock = "kiosk.unlock()"
    return Situation(
        {"one": names[0], "two": names[1], "first": paid[0].said, "second": paid[1].said},
        {"drawer": {"open": False}, "paid": {}},
        {"paid": {name: each.cents for name, each in zip(names, paid, strict=True)}},
        (unlock, right[0], unlock, right[1]),
        (tuple(right), (unlock, *right), (unlock, wrong[0], unlock, wrong[1])),
    )


def _halls_book(draw: Draw) -> Situation:
    hall, day, group = draw.one("hall"), draw.day(), draw.one("group")
    before = {f"{hall} 31.01.2026": draw.one("group")}
    return Situation(
        {"hall": hall, "day": day.said, "group": group},
        {"bookings": before},
        {"bookings": before | {f"{hall} {day.written}": group}},
        (_call("halls.book", hall, day.written, group),),
        (
            (_call("halls.book", hall, day.iso, group),),
            (_call("halls.book", hall, day.said, group),),
        ),
    )


def _halls_hours(draw: Draw) -> Situation:
    hall, day, (start, end) = draw.one("hall"), draw.day(), draw.shift()
    return Situation(
        {"hall": hall, "day": day.said, "start": start.said, "end": end.said},
        {"hours": {}},
        {"hours": {f"{hall} {day.written}": f"{start.written}-{end.written}"}},
        (_call("halls.book_hours", hall, day.written, start.written, end.written),),
        (
            (_call("halls.book_hours", hall, day.iso, start.written, end.written),),
            (_call("halls.book_hours", hall, day.written, start.iso, end.iso),),
        ),
    )


def _halls_cancel(draw: Draw) -> Situation:
    hall, day, group = draw.one("hall"), draw.day(), draw.one("group")
    page = f"{hall} {day.written}"
    cancel = _call("halls.cancel", hall, day.written)
    return Situation(
        {"hall": hall, "day": day.said, "group": group},
        {"bookings": {page: group}, "asked": {}, "cancelled": {}},
        {"cancelled": {page: group}},
        (f"halls.confirm({cancel})",),
        ((cancel,), (f"halls.confirm({_call('halls.cancel', hall, day.iso)})",)),
    )


def _parcel(draw: Draw) -> tuple[str, str]:
    """A parcel's name, as the tasks say it and as the house writes it."""
    said = f"{''.join(draw.several('letter', 2))}-{draw.number(101, 998)}"
    return said, said.upper()


def _parcels_address(draw: Draw) -> Situation:
    (said, written), (_, other) = _parcel(draw), _parcel(draw)
    town, elsewhere = draw.several("town", 2)
    return Situation(
        {"parcel": said, "town": town},
        {"towns": {other: elsewhere, written: ""}, "weights": {}},
        {"towns": {other: elsewhere, written: town}},
        (_call("parcels.address", written, town),),
        ((_call("parcels.address", said, town),),),
    )


def _parcels_weigh(draw: Draw) -> Situation:
    said, written = _parcel(draw)
    grams = draw.number(3, 95) * 100
    weight = f"{grams / 1000:g}"
    return Situation(
        {"parcel": said, "weight": f"{weight} kg"},
        {"towns": {written: draw.one("town")}, "weights": {}},
        {"weights": {written: grams}},
        (_call("parcels.weigh", written, grams),),
        (
            (_call("parcels.weigh", said, grams),),
            (f"parcels.weigh({written!r}, {weight})",),
        ),
    )


def _parcels_hand_over(draw: Draw) -> Situation:
    said, written = _parcel(draw)
    hand_over = _call("parcels.hand_over", written)
    return Situation(
        {"parcel": said},
        {"towns": {written: draw.one("town")}, "tries": {}, "gone": {}},
        {"gone": {written: True}},
        (f"while {hand_over} != 0:", "    pass"),
        (
            (hand_over,),
            (hand_over, hand_over),
            ("for _ in range(9):", "    " + _call("parcels.hand_over", said)),
        ),
    )


def _worked(draw: Draw) -> tuple[str, int, str]:
    """A length of time: as the tasks say it, in minutes, and in hours as a program has it."""
    hours = draw.number(2, 8)
    minutes = draw.number(1, 5) * 10
    worked = 60 * hours + minutes
    return f"{hours} hours and {minutes} minutes", worked, f"{hours}.{minutes}"


def _timesheet_record(draw: Draw) -> Situation:
    person, hours = draw.one("person"), draw.number(2, 9)
    start = {"worked": {draw.one("person"): draw.number(200, 400)}}
    return Situation(
        {"person": person, "worked": f"{hours} hours"},
        start,
        {"worked": start["worked"] | {person: 60 * hours}},
        (_call("timesheet.record", person, 60 * hours),),
        ((_call("timesheet.record", person, hours),),),
    )


def _timesheet_shift(draw: Draw) -> Situation:
    person, (start, end) = draw.one("person"), draw.shift()
    return Situation(
        {"person": person, "start": start.said, "end": end.said},
        {"shifts": {}},
        {"shifts": {person: f"{start.written}-{end.written}"}},
        (_call("timesheet.shift", person, start.written, end.written),),
        (
            (_call("timesheet.shift", person, start.iso, end.iso),),
            (_call("timesheet.shift", person, start.said, end.said),),
            (
                _call(
                    "timesheet.shift",
                    person,
                    start.written,
                    Clock(end.hour - 12, end.minute).written,
                ),
            ),
        ),
    )


def _timesheet_hand_in(draw: Draw) -> Situation:
    person, (said, minutes, hours) = draw.one("person"), _worked(draw)
    sign, hand_in = _call("timesheet.sign", person), _call("timesheet.hand_in", person)
    record = _call("timesheet.record", person, minutes)
    return Situation(
        {"person": person, "worked": said},
        {"worked": {}, "signed": {}, "handed_in": {}},
        {"handed_in": {person: minutes}},
        (sign, record, hand_in),
        (
            (record, sign, hand_in),
            (record, hand_in),
            (sign, f"timesheet.record({person!r}, {hours})", hand_in),
        ),
    )


def _stockroom_change(draw: Draw) -> Situation:
    article, count = draw.one("article"), draw.number(2, 19)
    return Situation(
        {"article": article, "count": str(count)},
        {"stock": {article: draw.number(20, 60)}, "changes": {}},
        {"changes": {article: -count}},
        (_call("stockroom.change", article, -count),),
        ((_call("stockroom.change", article, count),),),
    )


def _shelf(draw: Draw) -> tuple[str, str, str]:
    """A shelf: its row and its number as the tasks say them, and as the house writes it."""
    row, number = draw.pick("abcdef"), draw.number(1, 24)
    return row, str(number), f"{row.upper()}-{number:02d}"


def _stockroom_place(draw: Draw) -> Situation:
    article, count, (row, number, shelf) = draw.one("article"), draw.number(2, 19), _shelf(draw)
    place = _call("stockroom.place", article, shelf)
    change = _call("stockroom.change", article, -count)
    return Situation(
        {"article": article, "count": str(count), "row": row, "number": number},
        {"stock": {article: draw.number(20, 60)}, "changes": {}, "shelves": {}},
        {"changes": {article: -count}, "shelves": {article: shelf}},
        (change, place),
        (
            (_call("stockroom.change", article, count), place),
            (change, _call("stockroom.place", article, row + number)),
            (change, _call("stockroom.place", article, f"{row}-{number}")),
        ),
    )


def _stockroom_write_off(draw: Draw) -> Situation:
    articles, counts = draw.several("article", 2), draw.different(2, 9, 2)
    pairs = list(zip(articles, counts, strict=True))
    recounts = [_call("stockroom.recount", article) for article in articles]
    offs = [_call("stockroom.write_off", article, count) for article, count in pairs]
    return Situation(
        {"one": articles[0], "two": articles[1], "first": str(counts[0]), "second": str(counts[1])},
        {"stock": {each: draw.number(20, 60) for each in articles}, "counted": {}}
        | {"written_off": {}},
        {"written_off": dict(pairs)},
        (recounts[0], offs[0], recounts[1], offs[1]),
        (
            tuple(offs),
            (*recounts, *offs),
        ),
    )


def _borrower(draw: Draw) -> tuple[str, str]:
    first, last = draw.one("person"), draw.one("surname")
    return f"{first} {last}", f"{last}, {first}"


def _loans_lend(draw: Draw) -> Situation:
    piece, (said, card), (_, other) = draw.one("piece"), _borrower(draw), _borrower(draw)
    return Situation(
        {"piece": piece, "borrower": said},
        {"cards": {other: True, card: True}, "lent": {}},
        {"lent": {piece: card}},
        (_call("loans.lend", piece, card),),
        ((_call("loans.lend", piece, said),),),
    )


def _loans_until(draw: Draw) -> Situation:
    piece, (said, card), day = draw.one("piece"), _borrower(draw), draw.day()
    _, other = _borrower(draw)
    return Situation(
        {"piece": piece, "borrower": said, "day": day.said},
        {"cards": {other: True, card: True}, "lent": {}},
        {"lent": {piece: f"{card}: {day.written}"}},
        (_call("loans.lend_until", piece, card, day.written),),
        (
            (_call("loans.lend_until", piece, said, day.written),),
            (_call("loans.lend_until", piece, card, day.iso),),
        ),
    )


def _loans_ship(draw: Draw) -> Situation:
    piece, town = draw.one("piece"), draw.one("town")
    photograph, pack = _call("loans.photograph", piece), _call("loans.pack", piece)
    ship = _call("loans.ship", piece, town)
    return Situation(
        {"piece": piece, "town": town},
        {"photographs": {}, "packed": {}, "shipped": {}},
        {"shipped": {piece: town}},
        (photograph, pack, ship),
        ((pack, ship), (pack, photograph, ship), (photograph, ship)),
    )


def _sprinkler_plan(draw: Draw) -> Situation:
    bed, day = draw.one("bed"), draw.pick(_DAYS)
    return Situation(
        {"bed": bed, "day": day},
        {"plan": {}, "valves": {bed: False}},
        {"plan": {bed: day[:3].upper()}},
        (_call("sprinkler.plan", bed, day[:3].upper()),),
        ((_call("sprinkler.plan", bed, day),), (_call("sprinkler.plan", bed, day[:3]),)),
    )


def _sprinkler_plan_at(draw: Draw) -> Situation:
    bed, day, time = draw.one("bed"), draw.pick(_DAYS), draw.pick(draw.shift())
    short = day[:3].upper()
    return Situation(
        {"bed": bed, "day": day, "time": time.said},
        {"plan": {}, "valves": {bed: False}},
        {"plan": {bed: f"{short} {time.written}"}},
        (_call("sprinkler.plan_at", bed, short, time.written),),
        (
            (_call("sprinkler.plan_at", bed, day, time.written),),
            (_call("sprinkler.plan_at", bed, short, time.iso),),
        ),
    )


def _sprinkler_water(draw: Draw) -> Situation:
    bed, other = draw.several("bed", 2)
    valve, pump = f"sprinkler.valve({bed!r}, True)", "sprinkler.pump(True)"
    return Situation(
        {"bed": bed, "other": other},
        {"valves": {bed: False, other: False}, "pump": {"on": False}, "watered": {}},
        {"watered": {bed: True}},
        (valve, pump),
        ((pump, valve), (valve,), (pump,)),
        whole=("watered",),
    )


def _messenger(draw: Draw) -> tuple[str, str, str, dict[str, bool]]:
    """A person, their handle, a text, and all who can be reached."""
    people = draw.several("person", 3)
    contacts = {f"@{each.lower()}": True for each in sorted(people)}
    return people[0], f"@{people[0].lower()}", draw.one("text"), contacts


def _messenger_send(draw: Draw) -> Situation:
    person, handle, text, contacts = _messenger(draw)
    return Situation(
        {"person": person, "text": text},
        {"contacts": contacts, "sent": {}},
        {"sent": {handle: text}},
        (_call("messenger.send", handle, text),),
        ((_call("messenger.send", person, text),),),
    )


def _messenger_marked(draw: Draw) -> Situation:
    person, handle, text, contacts = _messenger(draw)
    highest = draw.number(0, 1) == 1
    right, wrong = (5, 1) if highest else (1, 5)
    return Situation(
        {"person": person, "text": text, "priority": "highest" if highest else "lowest"},
        {"contacts": contacts, "sent": {}},
        {"sent": {handle: f"{right} {text}"}},
        (_call("messenger.send_marked", handle, text, right),),
        (
            (_call("messenger.send_marked", handle, text, wrong),),
            (_call("messenger.send_marked", person, text, right),),
        ),
    )


def _messenger_relay(draw: Draw) -> Situation:
    person, handle, text, contacts = _messenger(draw)
    relay = _call("messenger.relay", handle, text)
    return Situation(
        {"person": person, "text": text},
        {"contacts": contacts, "tries": {}, "sent": {}},
        {"sent": {handle: text}},
        (f"while {relay} != 200:", "    pass"),
        (
            (relay,),
            (relay, relay),
            ("for _ in range(9):", "    " + _call("messenger.relay", person, text)),
        ),
    )


def _members_town(draw: Draw) -> Situation:
    number, other = draw.different(12, 987, 2)
    town, elsewhere = draw.several("town", 2)
    towns = {f"{each:05d}": elsewhere for each in sorted((number, other))}
    return Situation(
        {"member": str(number), "town": town},
        {"towns": towns},
        {"towns": towns | {f"{number:05d}": town}},
        (_call("members.set_town", f"{number:05d}", town),),
        (
            (_call("members.set_town", number, town),),
            (_call("members.set_town", str(number), town),),
        ),
    )


def _members_joined(draw: Draw) -> Situation:
    number, day = draw.number(12, 987), draw.day()
    member = f"{number:05d}"
    return Situation(
        {"member": str(number), "day": day.said},
        {"towns": {member: draw.one("town")}, "joined": {}},
        {"joined": {member: day.written}},
        (_call("members.set_joined", member, day.written),),
        (
            (_call("members.set_joined", str(number), day.written),),
            (_call("members.set_joined", member, day.iso),),
            (_call("members.set_joined", member, day.said),),
        ),
    )


def _members_paid(draw: Draw) -> Situation:
    """Members of the wanted town are on the first page, on one between and on the last."""
    town, *others = draw.several("town", 3)
    numbers = [f"{each:05d}" for each in sorted(draw.different(12, 987, 8))]
    wanted = {numbers[draw.number(0, 2)], numbers[draw.number(3, 5)], numbers[draw.number(6, 7)]}
    towns = {each: town if each in wanted else draw.pick(others) for each in numbers}
    mark = (
        "    for member, town in members.page(number).items():",
        f"        if town == {town!r}:",
        "            members.mark_paid(member)",
    )
    once = tuple(line.removeprefix("    ") for line in mark)
    return Situation(
        {"town": town},
        {"towns": towns, "paid": {}},
        {"paid": dict.fromkeys(sorted(wanted), True)},
        ("number = 0", "while members.page(number):", *mark, "    number += 1"),
        (
            ("number = 1", *once),
            ("number = 0", *once),
            ("number = 1", "while members.page(number):", *mark, "    number += 1"),
        ),
        whole=("paid",),
    )


def _vault_file(draw: Draw) -> str:
    return f"{draw.one('file')}-{draw.number(1850, 1999)}"


def _vault_discard(draw: Draw) -> Situation:
    file, other = _vault_file(draw), _vault_file(draw)
    discard = _call("vault.discard", file)
    return Situation(
        {"file": file},
        {"shelves": {file: "K-11", other: "K-12"}, "words": {}, "discarded": {}},
        {"discarded": {file: True}},
        (discard, discard),
        ((discard,),),
        whole=("discarded",),
    )


def _vault_relocate(draw: Draw) -> Situation:
    file, (row, number, shelf) = _vault_file(draw), _shelf(draw)
    relocate = _call("vault.relocate", file, shelf)
    wrong = _call("vault.relocate", file, row + number)
    return Situation(
        {"file": file, "row": row, "number": number},
        {"shelves": {file: "K-11"}, "words": {}},
        {"shelves": {file: shelf}},
        (relocate, relocate),
        ((relocate,), (wrong, wrong)),
    )


def _vault_burn(draw: Draw) -> Situation:
    box, other = (str(each) for each in draw.different(100, 999, 2))
    copy, burn = _call("vault.copy", box), _call("vault.burn", box)
    return Situation(
        {"box": box, "other": other},
        {"copied": {}, "burnt": {}, "slips": {}},
        {"copied": {box: True}, "burnt": {box: True}},
        (copy, f"vault.confirm({burn})"),
        ((burn,), (f"vault.confirm({burn})",), (f"vault.confirm({burn})", copy), (copy, burn)),
        whole=("burnt",),
    )


TOOLS: dict[str, tuple[Level, ...]] = {
    "kiosk": (
        Level(
            ("let_in(person, word)",),
            _same_for_all("kiosk", "let_in", "person", "dusk", "inside"),
            (
                "Let {entity} in behind the counter.",
                "{entity} helps out today: let {entity} in.",
                "{entity} stands at the door of the kiosk. Let them in.",
                "Today {entity} works behind the counter; open the door for that.",
            ),
        ),
        Level(
            (
                "set_price(item, amount)",
                "prices()",
            ),
            _kiosk_price,
            (
                "Set the price of '{item}' to {price}.",
                "From today the price of '{item}' is {price}; enter it.",
                "Put '{item}' on sale for {price}.",
                "Set {price} as the price of '{item}'.",
                "The new price of '{item}' is {price}. Set it.",
                "The price of '{item}' changes: {price} from now on. Set it.",
            ),
        ),
        Level(
            ("refund(receipt, amount)",),
            _kiosk_refund,
            (
                "Refund {count} times {price} for the receipt '{receipt}'.",
                "{count} packs of '{item}' at {price} each came back with the receipt '{receipt}'. "
                "Refund them.",
                "The receipt '{receipt}' shows {count} bags of '{item}', each {price}. "
                "Refund them all.",
                "Give the money for {count} boxes of '{item}' back, {price} a box, for the receipt "
                "'{receipt}'.",
            ),
        ),
        Level(
            ("pay_out(name, amount)", "unlock()"),
            _kiosk_pay,
            (
                "Pay {first} to '{one}' and {second} to '{two}' out of the drawer.",
                "'{one}' gets {first} from the drawer, and '{two}' gets {second}. Pay both.",
            ),
        ),
    ),
    "halls": (
        Level(
            ("lend_key(group, hook)",),
            _same_for_all("halls", "lend_key", "group", "K7", "keys"),
            (
                "Lend the {entity} group a key.",
                "The {entity} group comes early and needs a key: lend it.",
                "A key is wanted by the {entity} group. Give it out.",
                "Hand out a key, to the {entity} group.",
            ),
        ),
        Level(
            (
                "book(hall, date, group)",
                "bookings(hall)",
            ),
            _halls_book,
            (
                "Book the hall '{hall}' for the group '{group}' on {day}.",
                "The group '{group}' wants the hall '{hall}' on {day}. Enter the booking.",
                "Book on {day} for the group '{group}' the hall '{hall}'.",
                "Give the group '{group}' the hall '{hall}' for {day}.",
                "Please reserve the hall '{hall}', group '{group}', date {day}.",
                "Enter in the book that '{group}' has the hall '{hall}' on {day}.",
            ),
        ),
        Level(
            ("book_hours(hall, date, start, end)",),
            _halls_hours,
            (
                "Book the hall '{hall}' on {day} from {start} to {end}.",
                "The hall '{hall}' is wanted on {day}, beginning at {start} "
                "and ending at {end}: book it.",
                "Reserve the time between {start} and {end} on {day} in the hall '{hall}'.",
                "A course meets in the hall '{hall}' on {day}; it starts at "
                "{start} and is over at {end}. "
                "Book these hours.",
            ),
        ),
        Level(
            (
                "cancel(hall, date)",
                "confirm(number)",
            ),
            _halls_cancel,
            (
                "Cancel the booking of the hall '{hall}' by '{group}' on {day}.",
                "The group '{group}' does not come on {day}: take its "
                "booking of the hall '{hall}' away.",
            ),
        ),
    ),
    "parcels": (
        Level(
            ("send_van(town, line)",),
            _same_for_all("parcels", "send_van", "town", "E2", "vans"),
            (
                "Send the van to {entity}.",
                "There is something to fetch in {entity}: send the van.",
                "The van has to go to {entity} today.",
                "{entity} waits for the van; let it drive there.",
            ),
        ),
        Level(
            ("address(parcel, town)",),
            _parcels_address,
            (
                "The parcel {parcel} goes to {town}. Address it.",
                "Write the town {town} on the label of the parcel {parcel}.",
                "Address the parcel {parcel} to {town}.",
                "Enter {town} as the town of the parcel {parcel}.",
                "Label the parcel {parcel} with the town {town}.",
                "The parcel {parcel} is for somebody in {town}: address it.",
            ),
        ),
        Level(
            ("weigh(parcel, weight)",),
            _parcels_weigh,
            (
                "The parcel {parcel} weighs {weight}. Write it down.",
                "Enter {weight} as the weight of the parcel {parcel}.",
                "On the scale the parcel {parcel} shows {weight}: enter this weight.",
                "Note that {weight} is what the parcel {parcel} weighs.",
            ),
        ),
        Level(
            ("hand_over(parcel)",),
            _parcels_hand_over,
            (
                "Hand the parcel {parcel} to the van.",
                "The parcel {parcel} has to leave with the van: hand it over.",
            ),
        ),
    ),
    "timesheet": (
        Level(
            ("excuse(person, code)",),
            _same_for_all("timesheet", "excuse", "person", "U9", "excused"),
            (
                "Excuse {entity} for today.",
                "{entity} is ill. Enter the excuse.",
                "{entity} cannot come today; excuse them.",
                "Today {entity} stays at home with an excuse: enter it.",
            ),
        ),
        Level(
            (
                "record(person, duration)",
                "total(person)",
            ),
            _timesheet_record,
            (
                "'{person}' worked {worked} today. Record it.",
                "Record {worked} of work for '{person}'.",
                "Today '{person}' was in the workshop for {worked}: enter the work.",
                "Enter in the sheet of '{person}' that the work took {worked}.",
                "Write down the work of '{person}', {worked} in all.",
                "It took '{person}' {worked} to mend the gate. Record the time.",
            ),
        ),
        Level(
            ("shift(person, start, end)",),
            _timesheet_shift,
            (
                "'{person}' worked from {start} to {end}. Write the shift down.",
                "Enter the shift of '{person}': it began at {start} and ended at {end}.",
                "'{person}' came at {start} and left at {end}; put that down as a shift.",
                "Between {start} and {end} '{person}' was at work. Note the shift.",
            ),
        ),
        Level(
            (
                "hand_in(person)",
                "record(person, duration)",
                "sign(person)",
            ),
            _timesheet_hand_in,
            (
                "'{person}' worked {worked}. Record it, and hand in the signed sheet.",
                "Hand in a signed sheet for '{person}' that says {worked} of work.",
            ),
        ),
    ),
    "stockroom": (
        Level(
            ("order(article, supplier)",),
            _same_for_all("stockroom", "order", "article", "Nordhof", "ordered"),
            (
                "Order more '{entity}'.",
                "There are too few '{entity}': order some.",
                "The '{entity}' are sold out. Order them.",
                "We run short of '{entity}', so order more of them.",
            ),
        ),
        Level(
            ("change(article, count)",),
            _stockroom_change,
            (
                "{count} '{article}' were delivered. Enter the change of the stock.",
                "Enter that {count} '{article}' came in today.",
                "A maker brought {count} '{article}' for the stock: enter the change.",
                "Put {count} more '{article}' into the stock.",
                "The stock of '{article}' grew by {count} today. Enter the change.",
                "A box with {count} '{article}' has arrived; enter them as a change.",
            ),
        ),
        Level(
            ("change(article, count)", "place(article, shelf)"),
            _stockroom_place,
            (
                "{count} '{article}' were delivered and stand in row {row} on shelf {number}. "
                "Enter the change and the shelf.",
                "Enter that {count} '{article}' came in today and that they are in row {row}, "
                "shelf {number}.",
                "Put {count} more '{article}' into the stock and place them on shelf {number} "
                "of row {row}.",
                "The stock of '{article}' grew by {count} and was moved to row {row}, "
                "shelf {number}: enter both.",
            ),
        ),
        Level(
            ("recount(article)", "write_off(article, count)"),
            _stockroom_write_off,
            (
                "Write off {first} broken '{one}' and {second} broken '{two}'.",
                "{first} '{one}' and {second} '{two}' fell down and broke: write them off.",
            ),
        ),
    ),
    "loans": (
        Level(
            ("insure(piece, insurer)",),
            _same_for_all("loans", "insure", "piece", "Aldus", "insured"),
            (
                "Insure the '{entity}'.",
                "The '{entity}' needs an insurance. See to it.",
                "Before it travels, the '{entity}' is to be insured.",
                "Have the '{entity}' insured.",
            ),
        ),
        Level(
            ("lend(piece, borrower)",),
            _loans_lend,
            (
                "Lend the '{piece}' to {borrower}.",
                "{borrower} borrows the '{piece}'. Enter the loan.",
                "The '{piece}' goes to {borrower} on loan: enter it.",
                "Give {borrower} the '{piece}' as a loan.",
                "Note that the '{piece}' is lent to {borrower}.",
                "{borrower} came for the '{piece}'. Lend it.",
            ),
        ),
        Level(
            ("lend_until(piece, borrower, date)",),
            _loans_until,
            (
                "Lend the '{piece}' to {borrower} until {day}.",
                "{borrower} borrows the '{piece}' and brings it back on {day}. Enter the loan.",
                "Until {day} the '{piece}' is on loan to {borrower}: enter it.",
                "Give {borrower} the '{piece}' as a loan that ends on {day}.",
            ),
        ),
        Level(
            (
                "pack(piece)",
                "photograph(piece)",
                "ship(piece, town)",
            ),
            _loans_ship,
            (
                "Get the '{piece}' on its way to {town}.",
                "The museum in {town} shows the '{piece}' next year: send it there.",
            ),
        ),
    ),
    "sprinkler": (
        Level(
            ("feed(bed, mix)",),
            _same_for_all("sprinkler", "feed", "bed", "K3", "fed"),
            (
                "Feed the bed '{entity}'.",
                "The bed '{entity}' looks pale: feed it.",
                "Let the bed '{entity}' be fed.",
                "The bed '{entity}' has to be fed today.",
            ),
        ),
        Level(
            ("plan(bed, day)",),
            _sprinkler_plan,
            (
                "Plan the watering of the bed '{bed}' for {day}.",
                "The bed '{bed}' gets water on {day}. Plan it.",
                "The bed '{bed}' has its day on {day}: plan that.",
                "Let the bed '{bed}' be watered on {day}.",
                "Plan {day} as the day for the bed '{bed}'.",
                "Put the bed '{bed}' into the plan for {day}.",
            ),
        ),
        Level(
            ("plan_at(bed, day, time)",),
            _sprinkler_plan_at,
            (
                "Plan the watering of the bed '{bed}' for {day} at {time}.",
                "The bed '{bed}' gets water on {day}, from {time} on. Plan it.",
                "Plan {day} at {time} as the time for the bed '{bed}'.",
                "Put the bed '{bed}' into the plan for {day}, {time}.",
            ),
        ),
        Level(
            (
                "pump(on)",
                "valve(bed, on)",
            ),
            _sprinkler_water,
            (
                "Water the bed '{bed}' now, and leave the bed '{other}' dry.",
                "Let water run to the bed '{bed}' at once, and none to the bed '{other}'.",
            ),
        ),
    ),
    "messenger": (
        Level(
            ("pin(text, board)",),
            _same_for_all("messenger", "pin", "text", "roof", "pinned"),
            (
                "Pin up the notice '{entity}'.",
                "Everybody should read '{entity}': pin it up.",
                "'{entity}' goes on a board. Pin it there.",
                "Make '{entity}' a notice and pin it.",
            ),
        ),
        Level(
            ("send(to, text)",),
            _messenger_send,
            (
                "Send {person} the message '{text}'.",
                "Tell {person} '{text}'.",
                "Let {person} know: '{text}'. Send it as it stands.",
                "The message '{text}' is for {person}. Send it.",
                "Write '{text}' to {person}.",
                "{person} has to get the message '{text}': send it.",
            ),
        ),
        Level(
            ("send_marked(to, text, priority)",),
            _messenger_marked,
            (
                "Send {person} the message '{text}' with the {priority} priority.",
                "With the {priority} priority, tell {person} '{text}'.",
                "The message '{text}' is for {person} and has the {priority} priority. Send it.",
                "Write '{text}' to {person}; its priority is the {priority} there is.",
            ),
        ),
        Level(
            ("relay(to, text)",),
            _messenger_relay,
            (
                "Relay the message '{text}' to {person}.",
                "{person} is far away and has to get '{text}': relay it.",
            ),
        ),
    ),
    "members": (
        Level(
            ("welcome(name, sheet)",),
            _same_for_all("members", "welcome", "surname", "green", "guests"),
            (
                "Welcome the guest {entity}.",
                "{entity} visits the club as a guest: enter the welcome.",
                "A guest came, {entity}. Welcome them.",
                "The club has the guest {entity} today; welcome this guest.",
            ),
        ),
        Level(
            ("set_town(member, town)",),
            _members_town,
            (
                "Member {member} moved to {town}. Enter it.",
                "Enter {town} as the town of member {member}.",
                "{town} is the new home of member {member}: enter that.",
                "The address of member {member} changes to {town}; set the town.",
                "Set the town of member {member} to {town}.",
                "Member number {member} now lives in {town}. Change the register.",
            ),
        ),
        Level(
            ("set_joined(member, date)",),
            _members_joined,
            (
                "Member {member} joined on {day}. Enter it.",
                "Enter {day} as the day on which member {member} joined.",
                "The club took in member {member} on {day}: enter that.",
                "Note for member {member} that the membership began on {day}.",
            ),
        ),
        Level(
            (
                "mark_paid(member)",
                "page(number), which gives a dict from member to town",
            ),
            _members_paid,
            (
                "Mark every member who lives in {town} as paid.",
                "All members from {town} have paid: mark each of them.",
            ),
        ),
    ),
    "vault": (
        Level(
            ("admit(person, phrase)",),
            _same_for_all("vault", "admit", "person", "ember", "admitted"),
            (
                "Admit {entity} to the reading room.",
                "{entity} wants to read files. Admit them.",
                "{entity} is here for the reading room: admit this reader.",
                "Open the reading room to {entity}.",
            ),
        ),
        Level(
            ("discard(file)",),
            _vault_discard,
            (
                "Discard the file '{file}'.",
                "Nobody needs the file '{file}' any more: discard it.",
                "The file '{file}' is to be thrown away. Do it.",
                "Get rid of the file '{file}'.",
                "Please see to it that '{file}' is discarded.",
                "Remove the file '{file}' from the archive for good.",
            ),
        ),
        Level(
            ("relocate(file, shelf)",),
            _vault_relocate,
            (
                "Move the file '{file}' to row {row}, shelf {number}.",
                "The file '{file}' belongs on shelf {number} of row {row}: move it.",
                "In row {row} shelf {number} is free; put the file '{file}' there.",
                "Relocate '{file}': its new place is shelf {number} in row {row}.",
            ),
        ),
        Level(
            (
                "burn(box)",
                "confirm(slip)",
                "copy(box)",
            ),
            _vault_burn,
            (
                "Have the box '{box}' burnt, but not the box '{other}'.",
                "The box '{box}' must be burnt; the box '{other}' stays.",
            ),
        ),
    ),
}
