"""How sure a figure is: Wilson's interval, percentiles, and a paired bootstrap of ratios."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Z = 1.96


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not of:
        return 0.0, 1.0
    p, z2 = hits / of, Z * Z
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = Z * ((p * (1 - p) / of + z2 / (4 * of * of)) ** 0.5) / (1 + z2 / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def percentile(values: Sequence[float], p: float) -> float | None:
    """A percentile, or None of nothing."""
    return float(np.percentile(np.array(values), p)) if len(values) else None


Pairs = Sequence[tuple[Sequence[float], Sequence[float]]]


def paired_ratio(
    pairs: Pairs,
    figure: Callable[[list[float]], float | None],
    *,
    rounds: int = 1000,
    seed: int = 1,
) -> tuple[float, float, float] | None:
    """A figure of one system over that of another, on the same calls.

    Args:
        pairs: For each call, what each of the two gave.
        figure: Makes the figure of all values: a mean, a percentile.
        rounds: How often calls are drawn.
        seed: Of the draws.

    Returns:
        The ratio, and its 95 % interval; None when it cannot be told.
    """

    def ratio(chosen: Sequence[int]) -> float | None:
        ours = figure([v for i in chosen for v in pairs[i][0]])
        theirs = figure([v for i in chosen for v in pairs[i][1]])
        return None if ours is None or not theirs else ours / theirs

    if not pairs:
        return None
    whole = ratio(range(len(pairs)))
    if whole is None:
        return None
    random = np.random.default_rng(seed)
    drawn = [ratio(random.integers(0, len(pairs), len(pairs)).tolist()) for _ in range(rounds)]
    told = [value for value in drawn if value is not None]
    if not told:
        return None
    low, high = np.percentile(np.array(told), [2.5, 97.5])
    return whole, float(low), float(high)
