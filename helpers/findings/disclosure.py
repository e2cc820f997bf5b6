"""What a table of people may show: small cells, their neighbours, and how sharp a share is."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from helpers.core.tables import span, whole_percent

LEVEL = 1.959963984540054  # two-sided 95 % point of the normal distribution


def wilson(count: int | None, total: int | None) -> tuple[float, float] | None:
    """Wilson score interval of a share at 95 %, 0 to 1; None when there is nothing to divide by.

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference.
    """
    if not total or count is None:
        return None
    share, square = count / total, LEVEL**2 / total
    middle = (share + square / 2) / (1 + square)
    half = LEVEL * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def share_of(count: int, total: int) -> str:
    """A share, what it is a share of, and its 95 % interval: ``33 % of 1,247 (95 % ...)``."""
    if not total:
        return "not known"
    interval = f"95\u00a0% interval {span(*wilson(count, total))}"
    return f"{whole_percent(count / total)} of {total:,} ({interval})"


def suppress(table: pd.DataFrame, min_cell: int) -> pd.DataFrame:
    """Hide the cells of a cross-table of people that are too small, and enough others.

    Row and column totals are taken to be known to the reader. So a second cell goes wherever the
    first could be found by subtraction, and hidden cells of a line never add up to a small group
    unless the whole line is hidden. Cells of 0 hold nobody and stay, unless they hide another.

    Parameters
    ----------
    table : DataFrame of int
        Viewers by two properties, no total row or column among them.
    min_cell : int
        Cells with 1 to ``min_cell - 1`` viewers are hidden.

    Returns
    -------
    DataFrame of the same labels, dtype Int64; hidden cells are missing.
    """
    counts = table.to_numpy(dtype=float)
    small = (counts > 0) & (counts < min_cell)
    hidden = small.copy()
    while True:
        line = _open_line(counts, hidden, min_cell)
        if line is None and (cell := _found_by_subtraction(counts, hidden, small)):
            line = _line_of(cell, hidden)
        if line is None:
            break
        hidden[_next_to_hide(counts, hidden, line)] = True
    shown = pd.DataFrame(counts, index=table.index, columns=table.columns).astype("Int64")
    return shown.mask(hidden)


def suppress_counts(counts: pd.Series, min_cell: int) -> pd.Series:
    """:func:`suppress` for one row of counts whose total is known."""
    return suppress(counts.to_frame().T, min_cell).iloc[0].rename(counts.name)


def _lines(shape: tuple[int, int]) -> list[tuple]:
    """Index of every row and column that has more than one cell; other lines are totals alone."""
    rows = [(row, slice(None)) for row in range(shape[0])] if shape[1] > 1 else []
    columns = [(slice(None), column) for column in range(shape[1])] if shape[0] > 1 else []
    return rows + columns


def _open_line(counts: np.ndarray, hidden: np.ndarray, min_cell: int) -> tuple | None:
    """A line whose hidden cells are one alone or a small group together; None: all are shut."""
    for line in _lines(counts.shape):
        mask = hidden[line]
        alone = mask.sum() == 1 or counts[line][mask].sum() < min_cell
        if mask.any() and not mask.all() and alone:
            return line
    return None


def _line_of(cell: tuple[int, int], hidden: np.ndarray) -> tuple | None:
    """Row or column of the cell, else any line, that still shows something."""
    row, column = cell
    near = [(row, slice(None)), (slice(None), column), *_lines(hidden.shape)]
    return next((line for line in near if not hidden[line].all()), None)


def _next_to_hide(counts: np.ndarray, hidden: np.ndarray, line: tuple) -> tuple[int, int]:
    """The cell of a line to hide next: somebody in it, its crossing line open already, small."""
    where = np.zeros(counts.shape, bool)
    where[line] = True

    def cost(cell: tuple[int, int]) -> tuple:
        crossing = hidden[cell[0], :].any() and hidden[:, cell[1]].any()
        return counts[cell] == 0, not crossing, counts[cell], cell

    return min(map(tuple, np.argwhere(where & ~hidden)), key=cost)


def _found_by_subtraction(counts, hidden, small) -> tuple[int, int] | None:
    """First small cell that the totals and the cells still shown leave only one value for."""
    if not small.any() or hidden.all():
        return None
    from scipy.optimize import linprog  # slow to import, seldom needed

    cells = np.argwhere(hidden)
    sums, totals = [], []
    for line in _lines(counts.shape):
        mask = np.zeros(counts.shape, bool)
        mask[line] = True
        mask &= hidden
        if mask.any():
            sums.append([mask[tuple(cell)] for cell in cells])
            totals.append(counts[mask].sum())
    for position, cell in enumerate(cells):
        if not small[tuple(cell)]:
            continue
        goal = np.zeros(len(cells))
        goal[position] = 1
        ends = [sign * linprog(sign * goal, A_eq=sums, b_eq=totals).fun for sign in (1, -1)]
        if ends[1] - ends[0] < 0.5:
            return tuple(cell)
    return None
