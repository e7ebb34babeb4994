"""Counts → differences with intervals that hold at every time of looking (pure; vectorised).

**Difference.** Within a stratum: share solved when shown minus share solved when withheld. Strata
are averaged with Cochran's weights n₁·n₀/(n₁+n₀), as in the Mantel–Haenszel risk difference
(Greenland & Robins 1985, Biometrics 41:55). Its variance is the weighted sum of the strata's, each
from its own shares with three successes and three failures added to either side (after Agresti &
Caffo 2000, Am. Stat. 54:280, who add one for a single look; looking all the time visits the small
samples, too). The pseudo-counts enter the variance only, never the difference.

**Confidence sequence.** Let V be the variance and T = ρ²/V. The normal mixture of Robbins (1970,
Ann. Math. Stat. 41:1397) over effects ~ N(0, ρ²) is the e-value of "the effect is d₀":

    log e(d₀) = ½ (d − d₀)² / V · T / (1 + T) − ½ log(1 + T)

and the interval at level a is {d₀ : e(d₀) < 1/a}:

    d ± √( V · (1 + 1/T) · (log(1 + T) + 2 log(1/a)) )

That is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024,
Ann. Stat. 52:2613, theorem 2.2) in the time of the information 1/V, in which a difference of two
streams moves like Brownian motion (Jennison & Turnbull 1997, JASA 92:1330). It is valid in the
limit, not for every small sample; tests/test_evidence.py simulates how it does there.

**Many cells.** ``level`` is e-BH (Wang & Ramdas 2022, JRSS B 84:822): of the cells whose interval
at that level leaves out 0 at most a share ``error`` is expected to be without effect, whatever the
dependence between cells; where no cell has an effect, the chance of ever claiming one is at most
``error``. The intervals at that level cover after the selection, too (e-BY: Xu, Wang & Ramdas,
arXiv 2203.12572).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_PSEUDO = 3.0


@dataclass(frozen=True)
class Differences:
    """Shown minus withheld, an element per cell: share solved (−1 to 1), its variance, and the
    judged outcomes on either side. Without outcomes on both sides value and variance are nan."""

    value: Floats
    variance: Floats
    shown: Floats
    withheld: Floats


def compare(counts: Floats, cell: Ints, cells: int) -> Differences:
    """The difference of each of ``cells`` cells.

    ``counts`` has a row per stratum: solved and failed when shown, solved and failed when withheld.
    ``cell`` says to which cell (0 to cells − 1) each row belongs.
    """
    shown, withheld = counts[:, 0] + counts[:, 1], counts[:, 2] + counts[:, 3]
    both = (shown > 0) & (withheld > 0)
    ones, zeros = np.where(both, shown, 1.0), np.where(both, withheld, 1.0)
    weight = np.where(both, ones * zeros / (ones + zeros), 0.0)
    difference = counts[:, 0] / ones - counts[:, 2] / zeros
    variance = _variance(counts[:, 0], ones) + _variance(counts[:, 2], zeros)

    def total(values: Floats) -> Floats:
        return np.bincount(cell, values, cells).astype(np.float64)

    weights = total(weight)
    weights[weights == 0] = np.nan
    return Differences(
        value=total(weight * difference) / weights,
        variance=total(weight**2 * variance) / weights**2,
        shown=total(shown),
        withheld=total(withheld),
    )


def log_e(value: Floats, variance: Floats, effect: float) -> Floats:
    """Natural logarithm of the e-value of "there is no effect"; 0 where nothing is known.

    ``effect`` is ρ: the size of effect (share solved) that is looked for.
    """
    information = effect**2 / variance
    grown = 0.5 * value**2 / variance * information / (1 + information)
    return np.nan_to_num(grown - 0.5 * np.log1p(information), nan=0.0)


def half_width(variance: Floats, effect: float, level: float) -> Floats:
    """Half the width of the interval at ``level`` (0.05 = 95 %); nan where nothing is known."""
    information = effect**2 / variance
    reach = np.log1p(information) - 2 * math.log(level)
    return np.asarray(np.sqrt(variance * (1 + 1 / information) * reach), dtype=np.float64)


def level(log_es: Floats, error: float) -> float:
    """The level at which each interval of a family is to be taken: e-BH at ``error``.

    ``error`` divided by the number of cells, times the number of cells that are claimed (at least
    one); ``error`` itself where there is no cell.
    """
    cells = len(log_es)
    if not cells:
        return error
    falling = np.sort(log_es)[::-1]
    ranks = np.arange(1, cells + 1)
    enough = np.flatnonzero(falling >= np.log(cells / (error * ranks)))
    claimed = int(enough[-1]) + 1 if len(enough) else 1
    return error * claimed / cells


def _variance(successes: Floats, n: Floats) -> Floats:
    """Of the share of ``n`` that succeeded."""
    share = (successes + _PSEUDO) / (n + 2 * _PSEUDO)
    return np.asarray(share * (1 - share) / n, dtype=np.float64)
