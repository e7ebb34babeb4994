"""For every example task two programs: one that solves it, one that falls into its trap.

A maths program prints its answer, a code program defines what is asked for, a tool program acts on
its world. tests/test_example_tasks.py runs them.
"""

from __future__ import annotations

SOLUTIONS: dict[str, tuple[str, str]] = {
    "maths-clock-01": (
        "print((5 + 91 - 1) % 12 + 1)",
        "print((5 + 91) % 12)",
    ),
    "maths-modular-01": (
        "print((335 - 1) % 5 + 1)",
        "print(335 % 5)",
    ),
    "maths-multiples-01": (
        "print(sum(n % 6 == 0 for n in range(252, 733)))",
        "print(sum(n % 6 == 0 for n in range(252, 732)))",
    ),
    "maths-divisors-01": (
        "print(sum(720 % d == 0 for d in range(2, 720)))",
        "print(sum(720 % d == 0 for d in range(1, 721)))",
    ),
    "maths-digits-01": (
        "print(sum(sum(map(int, str(n))) == 5 for n in range(100, 1000)))",
        "print(sum(sum(map(int, str(n))) == 5 for n in range(1000)))",
    ),
    "maths-divisors-02": (
        "print(sum(18 % n == 0 for n in range(-18, 19) if n))",
        "print(sum(18 % n == 0 for n in range(1, 19)))",
    ),
    "maths-teams-01": (
        """\
import math
print(math.comb(9, 3))
""",
        """\
import math
print(math.perm(9, 3))
""",
    ),
    "maths-shelf-01": (
        """\
import math
print(math.comb(4, 2) * math.comb(5, 2))
""",
        """\
import math
print(math.perm(4, 2) * math.perm(5, 2))
""",
    ),
    "maths-handshakes-01": (
        """\
import math
print(math.comb(12, 2) - math.comb(3, 2))
""",
        """\
import math
print(math.comb(12, 2) - 3 * 2)
""",
    ),
    "maths-dice-01": (
        """\
from fractions import Fraction as F
print(F(sum(max(a, b) == 4 for a in range(1, 7) for b in range(1, 7)), 36))
""",
        """\
from fractions import Fraction as F
print(F(sum(max(a, b) == 4 for a in range(1, 7) for b in range(a, 7)), 21))
""",
    ),
    "maths-letters-01": (
        """\
from itertools import permutations
print(len(set(permutations('LEVEL'))))
""",
        """\
from itertools import permutations
print(len(list(permutations('LEVEL'))))
""",
    ),
    "maths-clubs-02": (
        "print(sum((n % 4 == 0) != (n % 6 == 0) for n in range(1, 101)))",
        "print(sum(n % 4 == 0 or n % 6 == 0 for n in range(1, 101)))",
    ),
    "maths-fence-01": (
        "print(96 // 4 + 1)",
        "print(96 // 4)",
    ),
    "maths-garden-01": (
        "print(2 * (4.5 + 2.6))",
        "print(2 * (450 + 260))",
    ),
    "maths-map-01": (
        "print(6 * (50000 / 100 / 1000) ** 2)",
        "print(6 * 50000 / 100 / 1000)",
    ),
    "maths-triangle-01": (
        "print(sum(10 - 7 < c < 10 + 7 for c in range(1, 30)))",
        "print(sum(10 - 7 <= c <= 10 + 7 for c in range(1, 30)))",
    ),
    "maths-clockangle-01": (
        "print(abs(3.5 * 30 - 30 * 6))",
        "print(abs(3 * 30 - 30 * 6))",
    ),
    "maths-absolute-01": (
        "print(sum(x for x in range(-50, 50) if abs(2 * x - 6) == 10))",
        "print((10 + 6) // 2)",
    ),
    "maths-percent-01": (
        "print(150 * 0.8 * 1.2)",
        "print(150)",
    ),
    "maths-percent-02": (
        "print(60 / 1.25)",
        "print(60 * 0.75)",
    ),
    "maths-speed-01": (
        "print(24 / (12 / 4 + 12 / 12))",
        "print((4 + 12) / 2)",
    ),
    "maths-root-01": (
        "print(sum(x for x in range(-6, 50) if (x + 6) ** 0.5 == x))",
        "print(sum(x for x in range(-6, 50) if x + 6 == x * x))",
    ),
    "maths-inequality-01": (
        "print(sum(x * x < 20 for x in range(-50, 50)))",
        "print(sum(x * x < 20 for x in range(0, 50)))",
    ),
    "maths-log-01": (
        "print(sum(x for x in range(3, 50) if x * (x - 2) == 8))",
        "print(sum(x for x in range(-50, 50) if x * (x - 2) == 8))",
    ),
    "maths-sine-01": (
        """\
from math import sin, pi
n = 100000
v = [sin(4 * pi * k / n) - 0.5 for k in range(n)]
print(sum(a * b < 0 for a, b in zip(v, v[1:])))
""",
        "print(2)",
    ),
    "maths-seats-01": (
        "print(sum(12 + 2 * k for k in range(15)))",
        "print(sum(12 + 2 * k for k in range(1, 16)))",
    ),
    "maths-days-01": (
        """\
from datetime import date
print((date(2026, 6, 9) - date(2026, 5, 28)).days + 1)
""",
        """\
from datetime import date
print((date(2026, 6, 9) - date(2026, 5, 28)).days)
""",
    ),
    "maths-buses-01": (
        "print(-(-87 // 24))",
        "print(87 // 24)",
    ),
    "maths-mean-01": (
        "print((5 * 12 - 20) / 4)",
        "print((5 * 12 - 20) / 5)",
    ),
    "maths-train-01": (
        "print((24 * 60 + 5 * 60 + 15) - (21 * 60 + 50))",
        "print(abs((5 * 60 + 15) - (21 * 60 + 50)))",
    ),
    "python-mirror-01": (
        """\
def is_mirror(text):
    kept = [c for c in text.lower() if c.isalnum()]
    return kept == kept[::-1]
""",
        """\
def is_mirror(text):
    text = text.lower().replace(" ", "")
    return text == text[::-1]
""",
    ),
    "python-initials-01": (
        """\
def initials(name):
    return "".join(word[0].upper() + "." for word in name.split())
""",
        """\
def initials(name):
    return "".join(word[0].upper() + "." for word in name.split(" "))
""",
    ),
    "python-capitals-01": (
        """\
def start_capitals(text):
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))
""",
        """\
def start_capitals(text):
    return text.title()
""",
    ),
    "python-longest-01": (
        """\
def longest_word(text):
    return max(text.split(), key=len, default="")
""",
        """\
def longest_word(text):
    return max(text.split(), key=len)
""",
    ),
    "python-second-01": (
        """\
def second_largest(numbers):
    values = sorted(set(numbers))
    return values[-2] if len(values) > 1 else None
""",
        """\
def second_largest(numbers):
    numbers.sort()
    return numbers[-2]
""",
    ),
    "python-unique-01": (
        """\
def without_repeats(items):
    kept = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept
""",
        """\
def without_repeats(items):
    return list(set(items))
""",
    ),
    "python-rotate-01": (
        """\
def rotate(items, steps):
    if not items:
        return []
    cut = -steps % len(items)
    return items[cut:] + items[:cut]
""",
        """\
def rotate(items, steps):
    return items[-steps:] + items[:-steps]
""",
    ),
    "python-middle-01": (
        """\
def middle(items):
    half = (len(items) - 1) // 2
    return items[half : len(items) - half] if items else []
""",
        """\
def middle(items):
    half = len(items) // 2
    return [items[half]] if len(items) % 2 else [items[half - 1], items[half]]
""",
    ),
    "python-climb-01": (
        """\
def longest_climb(heights):
    best = run = 0
    for i, height in enumerate(heights):
        run = run + 1 if i and height > heights[i - 1] else 1
        best = max(best, run)
    return best
""",
        """\
def longest_climb(heights):
    best = run = 1
    for a, b in zip(heights, heights[1:]):
        run = run + 1 if b > a else 1
        best = max(best, run)
    return best
""",
    ),
    "python-add-counts-01": (
        """\
def add_counts(first, second):
    return {k: first.get(k, 0) + second.get(k, 0) for k in [*first, *second]}
""",
        """\
def add_counts(first, second):
    for k, v in second.items():
        first[k] = first.get(k, 0) + v
    return first
""",
    ),
    "python-commonest-01": (
        """\
def commonest(words):
    return min(set(words), key=lambda w: (-words.count(w), w), default=None)
""",
        """\
from collections import Counter
def commonest(words):
    return Counter(words).most_common(1)[0][0]
""",
    ),
    "python-first-letter-01": (
        """\
def by_first_letter(words):
    result = {}
    for word in words:
        if word:
            result.setdefault(word[0].lower(), []).append(word)
    return result
""",
        """\
def by_first_letter(words):
    result = {}
    for word in words:
        result.setdefault(word[0], []).append(word)
    return result
""",
    ),
    "python-half-up-01": (
        """\
import math
def round_half_up(value):
    return math.floor(value + 0.5)
""",
        """\
def round_half_up(value):
    return round(value)
""",
    ),
    "python-digit-sum-01": (
        """\
def digit_sum(number):
    return sum(int(d) for d in str(abs(number)))
""",
        """\
def digit_sum(number):
    return sum(int(d) for d in str(number))
""",
    ),
    "python-mean-01": (
        """\
def mean_of(numbers):
    known = [n for n in numbers if n is not None]
    return round(sum(known) / len(known), 1) if known else 0.0
""",
        """\
def mean_of(numbers):
    known = [n for n in numbers if n]
    return round(sum(known) / len(known), 1)
""",
    ),
    "python-share-01": (
        """\
def share_out(amount, people):
    each, left = divmod(amount, people)
    return [each + 1] * left + [each] * (people - left)
""",
        """\
def share_out(amount, people):
    return [amount // people] * people
""",
    ),
    "python-flatten-01": (
        """\
def flat(items):
    result = []
    for item in items:
        result.extend(flat(item) if isinstance(item, list) else [item])
    return result
""",
        """\
def flat(items):
    return [x for item in items for x in (item if isinstance(item, list) else [item])]
""",
    ),
    "python-depth-01": (
        """\
def depth(items):
    return 1 + max((depth(item) for item in items if isinstance(item, list)), default=0)
""",
        """\
def depth(items):
    return 1 + max(depth(item) for item in items if isinstance(item, list))
""",
    ),
    "python-steps-01": (
        """\
def ways_up(steps):
    a, b, c = 0, 0, 1
    for _ in range(steps):
        a, b, c = b, c, a + b + c
    return c if steps >= 0 else 0
""",
        """\
def ways_up(steps):
    if steps <= 1:
        return 1
    return ways_up(steps - 1) + ways_up(steps - 2) + (ways_up(steps - 3) if steps > 2 else 0)
""",
    ),
    "python-hashtags-01": (
        """\
import re
def hashtags(text):
    return re.findall(r"#(\\w+)", text)
""",
        """\
def hashtags(text):
    return [word[1:] for word in text.split() if word.startswith("#")]
""",
    ),
    "python-plate-01": (
        """\
import re
def is_plate(text):
    return re.fullmatch(r"[A-Z]{2}-[0-9]{3}", text) is not None
""",
        """\
import re
def is_plate(text):
    return re.match(r"[A-Z]{2}-\\d{3}", text) is not None
""",
    ),
    "python-amounts-01": (
        """\
import re
def amounts(text):
    return [float(n) for n in re.findall(r"-?\\d+(?:\\.\\d+)?", text)]
""",
        """\
import re
def amounts(text):
    return [float(n) for n in re.findall(r"\\d+", text)]
""",
    ),
    "python-days-apart-01": (
        """\
from datetime import date
def days_apart(first, second):
    return abs((date.fromisoformat(first) - date.fromisoformat(second)).days)
""",
        """\
from datetime import date
def days_apart(first, second):
    return (date.fromisoformat(second) - date.fromisoformat(first)).days
""",
    ),
    "python-month-later-01": (
        """\
import calendar
def month_later(day):
    year, month, d = map(int, day.split("-"))
    year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return f"{year}-{month:02d}-{min(d, calendar.monthrange(year, month)[1]):02d}"
""",
        """\
from datetime import date, timedelta
def month_later(day):
    return (date.fromisoformat(day) + timedelta(days=30)).isoformat()
""",
    ),
    "python-duration-01": (
        """\
import re
def minutes(text):
    hours, mins = re.fullmatch(r"(?:(\\d+)h)?(?:(\\d+)m)?", text).groups(default="0")
    return int(hours) * 60 + int(mins)
""",
        """\
def minutes(text):
    hours, mins = text.split("h")
    return int(hours) * 60 + int(mins.rstrip("m"))
""",
    ),
    "python-pairs-01": (
        """\
def read_pairs(text):
    result = {}
    for part in text.split(";"):
        if part.strip():
            name, _, value = part.partition("=")
            result[name.strip()] = value.strip()
    return result
""",
        """\
def read_pairs(text):
    return dict(part.strip().split("=") for part in text.split(";"))
""",
    ),
    "python-euros-01": (
        """\
def to_cents(price):
    return round(float(price) * 100)
""",
        """\
def to_cents(price):
    return int(float(price) * 100)
""",
    ),
    "python-ranking-01": (
        """\
def ranking(scores):
    return sorted(scores, key=lambda name: (-scores[name], name))
""",
        """\
def ranking(scores):
    return sorted(scores, key=scores.get, reverse=True)
""",
    ),
    "python-versions-01": (
        """\
def sort_versions(versions):
    return sorted(versions, key=lambda v: [int(part) for part in v.split(".")])
""",
        """\
def sort_versions(versions):
    versions.sort()
    return versions
""",
    ),
    "python-closest-01": (
        """\
def closest(numbers, target):
    return min(numbers, key=lambda n: (abs(n - target), n), default=None)
""",
        """\
def closest(numbers, target):
    return min(numbers, key=lambda n: abs(n - target))
""",
    ),
    "python-basket-01": (
        """\
class Basket:
    def __init__(self, items=()):
        self.items = list(items)
    def add(self, item, price):
        self.items.append((item, price))
    def total(self):
        return sum(price for _, price in self.items)
""",
        """\
class Basket:
    def __init__(self, items=[]):
        self.items = items
    def add(self, item, price):
        self.items.append((item, price))
    def total(self):
        return sum(price for _, price in self.items)
""",
    ),
    "python-thermometer-01": (
        """\
class Thermometer:
    def __init__(self):
        self.seen = []
    def record(self, degrees):
        self.seen.append(degrees)
    def highest(self):
        return max(self.seen, default=None)
    def lowest(self):
        return min(self.seen, default=None)
""",
        """\
class Thermometer:
    def __init__(self):
        self.high, self.low = 0, 0
    def record(self, degrees):
        self.high, self.low = max(self.high, degrees), min(self.low, degrees)
    def highest(self):
        return self.high or None
    def lowest(self):
        return self.low or None
""",
    ),
    "tool-till-01": (
        """\
import till
till.set_price("oat bread", 340)
""",
        """\
import till
till.set_price("oat bread", 3.40)
""",
    ),
    "tool-till-02": (
        """\
import till
till.set_price("candle", 550)
""",
        """\
import till
till.set_price("candle", 5.50)
""",
    ),
    "tool-till-03": (
        """\
import till
till.refund("R31", 1275)
""",
        """\
import till
till.refund("R31", 12.75)
""",
    ),
    "tool-till-04": (
        """\
import till
till.set_price("tea", 265)
""",
        """\
import till
till.set_price("tea", 2.65)
""",
    ),
    "tool-rooms-01": (
        """\
import rooms
rooms.book("blue", "14.03.2026")
""",
        """\
import rooms
rooms.book("blue", "2026-03-14")
""",
    ),
    "tool-rooms-02": (
        """\
import rooms
rooms.book("red", "05.06.2026")
""",
        """\
import rooms
rooms.book("red", "06.05.2026")
""",
    ),
    "tool-rooms-03": (
        """\
import rooms
rooms.cancel("green", "27.03.2026")
""",
        """\
import rooms
rooms.cancel("green", "2026-03-27")
""",
    ),
    "tool-rooms-04": (
        """\
import rooms
rooms.cancel("green", "19.03.2026")
rooms.book("green", "02.04.2026")
""",
        """\
import rooms
rooms.book("green", "02.04.2026")
""",
    ),
    "tool-kiln-01": (
        """\
import kiln
kiln.door("open")
kiln.put_in("vase")
kiln.door("shut")
kiln.fire()
""",
        """\
import kiln
kiln.put_in("vase")
kiln.fire()
""",
    ),
    "tool-kiln-02": (
        """\
import kiln
kiln.door("open")
kiln.put_in("bowl")
kiln.put_in("jug")
kiln.door("shut")
kiln.fire()
""",
        """\
import kiln
kiln.door("open")
kiln.put_in("bowl")
kiln.put_in("jug")
kiln.fire()
""",
    ),
    "tool-kiln-03": (
        """\
import kiln
kiln.door("open")
kiln.put_in("tile 1")
kiln.put_in("tile 2")
kiln.put_in("tile 3")
kiln.door("shut")
kiln.fire()
""",
        """\
import kiln
kiln.door("shut")
kiln.put_in("tile 1")
kiln.fire()
""",
    ),
    "tool-library-01": (
        """\
import library
rows = []
for page in range(1, library.pages() + 1):
    rows += library.loans(page)
library.note("all", len(rows))
""",
        """\
import library
rows = library.loans(1)
library.note("all", len(rows))
""",
    ),
    "tool-library-02": (
        """\
import library
rows = []
for page in range(1, library.pages() + 1):
    rows += library.loans(page)
library.note("late", sum(row["days_late"] > 0 for row in rows))
""",
        """\
import library
rows = library.loans(1)
library.note("late", sum(row["days_late"] > 0 for row in rows))
""",
    ),
    "tool-library-03": (
        """\
import library
rows = []
for page in range(1, library.pages() + 1):
    rows += library.loans(page)
library.note("Nuru", sum(row["reader"] == "Nuru" for row in rows))
""",
        """\
import library
rows = library.loans(1)
library.note("Nuru", sum(row["reader"] == "Nuru" for row in rows))
""",
    ),
    "tool-library-04": (
        """\
import library
rows = []
for page in range(1, library.pages() + 1):
    rows += library.loans(page)
library.note("history", sum(row["shelf"] == "history" for row in rows))
""",
        """\
import library
rows = library.loans(1)
library.note("history", sum(row["shelf"] == "history" for row in rows))
""",
    ),
    "tool-post-01": (
        """\
import post
while not post.send("greetings", "Elm").startswith("200"):
    pass
""",
        """\
import post
post.send("greetings", "Elm")
""",
    ),
    "tool-post-02": (
        """\
import post
while not post.send("bill", "Varna").startswith("200"):
    pass
while not post.send("thanks", "Brill").startswith("200"):
    pass
""",
        """\
import post
post.send("bill", "Varna")
post.send("thanks", "Brill")
""",
    ),
    "tool-post-03": (
        """\
import post
while not post.send("invitation", "Dornach").startswith("200"):
    pass
""",
        """\
import post
post.send("invitation", "Dornach")
""",
    ),
    "tool-archive-01": (
        """\
import archive
slip = archive.remove("drafts")[-7:-2]
archive.remove("drafts", slip)
""",
        """\
import archive
archive.remove("drafts")
""",
    ),
    "tool-archive-02": (
        """\
import archive
slip = archive.remove("letters-old")[-7:-2]
archive.remove("letters-old", slip)
""",
        """\
import archive
archive.remove("letters-old")
""",
    ),
    "tool-archive-03": (
        """\
import archive
slip = archive.remove("bills-2019")[-7:-2]
archive.remove("bills-2019", slip)
slip = archive.remove("bills-2020")[-7:-2]
archive.remove("bills-2020", slip)
""",
        """\
import archive
archive.remove("bills-2019")
archive.remove("bills-2020")
""",
    ),
    "tool-vans-01": (
        """\
import vans
vans.assign("VAN-007", "Ravi")
""",
        """\
import vans
vans.assign(7, "Ravi")
""",
    ),
    "tool-vans-02": (
        """\
import vans
vans.park("VAN-012", "NOR")
""",
        """\
import vans
vans.park("VAN-012", "north")
""",
    ),
    "tool-vans-03": (
        """\
import vans
vans.park("VAN-025", "MIL")
vans.assign("VAN-025", "Dana")
""",
        """\
import vans
vans.park("25", "mill")
""",
    ),
    "next-maths-bags-01": (
        """\
import math

print(math.comb(8, 4))
""",
        """\
import math

print(math.perm(8, 4))
""",
    ),
    "next-maths-days-01": (
        """\
from datetime import date

print((date(2026, 10, 12) - date(2026, 9, 24)).days + 1)
""",
        """\
from datetime import date

print((date(2026, 10, 12) - date(2026, 9, 24)).days)
""",
    ),
    "next-python-shortest-01": (
        """\
def shortest_word(text):
    return min(reversed(text.split()), key=len, default=None)
""",
        """\
def shortest_word(text):
    return min(text.split(" "), key=len)
""",
    ),
    "next-python-lowest-01": (
        """\
def lowest_two(prices):
    return sorted(prices, key=lambda shop: (prices[shop], shop))[:2]
""",
        """\
def lowest_two(prices):
    return sorted(prices, key=prices.get)[:2]
""",
    ),
    "next-tool-till-01": (
        """\
import till
till.set_price("plum cake", 300)
""",
        """\
import till
till.set_price("plum cake", 3)
""",
    ),
    "next-tool-rooms-01": (
        """\
import rooms

rooms.book("green", "11.05.2026")
""",
        """\
import rooms

rooms.book("green", "2026-05-11")
""",
    ),
    "next-tool-library-01": (
        """\
import library
rows = []
for page in range(1, library.pages() + 1):
    rows += library.loans(page)
library.note("Tomas", sum(row["reader"] == "Tomas" for row in rows))
""",
        """\
import library
rows = library.loans(1)
library.note("Tomas", sum(row["reader"] == "Tomas" for row in rows))
""",
    ),
    "next-tool-archive-01": (
        """\
import archive
slip = archive.remove("photos")[-7:-2]
archive.remove("photos", slip)
""",
        """\
import archive
archive.remove("photos")
""",
    ),
}
