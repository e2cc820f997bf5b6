"""What every finding is made of: a sentence with its number, a table, intervals, plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

TOO_FEW = 30
"""Groups of fewer viewers are marked: a 95 % interval of a share is then up to 36 points wide."""


def part(
    finding: str,
    rows: pd.DataFrame | None = None,
    columns: Mapping[str, str] | None = None,
    note: str = "",
    *,
    more: Mapping[str, dict] | None = None,
    **figures: Any,
) -> dict[str, Any]:
    """One part of ``insights.json``, always of the same form.

    Parameters
    ----------
    finding : str
        One sentence in plain English with its number.
    rows : DataFrame, optional
        Table of the part; its index is left out.
    columns : mapping, optional
        Label with unit of each column to show, in order. Columns without a label stay out.
    note : str
        How it was reckoned, and what it cannot tell.
    more : mapping of str to part, optional
        Further parts that belong to this one.
    **figures
        Single numbers and texts, under ``figures``.
    """
    columns = dict(columns or {})
    shown = [] if rows is None else rows[list(columns)].to_dict("records")
    return {
        "finding": finding,
        "rows": plain(shown),
        "columns": columns,
        "note": note,
        "figures": plain(figures),
        "more": dict(more or {}),
    }


def plain(value: Any) -> Any:
    """The value in types that JSON knows; NaN, infinity and missing become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [plain(item) for item in value]
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def with_interval(frame: pd.DataFrame, count: str, total: str, name: str) -> pd.DataFrame:
    """The frame with a share (0–1) and its 95 % Wilson interval: ``name``, ``_low``, ``_high``.

    Rows whose total is 0 have no share.
    """
    from statsmodels.stats.proportion import proportion_confint

    counts, totals = frame[count].to_numpy(float), frame[total].to_numpy(float)
    known = totals > 0
    share, low, high = (np.full(len(frame), np.nan) for _ in range(3))
    share[known] = counts[known] / totals[known]
    if known.any():
        low[known], high[known] = proportion_confint(counts[known], totals[known], method="wilson")
    return frame.assign(**{name: share, f"{name}_low": low, f"{name}_high": high})


def false_discovery(p_values: Iterable[float]) -> np.ndarray:
    """q-values by Benjamini and Hochberg over all p-values given; missing ones stay missing."""
    from statsmodels.stats.multitest import multipletests

    p_values = np.asarray(list(p_values), dtype=float)
    known = ~np.isnan(p_values)
    q_values = np.full(len(p_values), np.nan)
    if known.any():
        q_values[known] = multipletests(p_values[known], method="fdr_bh")[1]
    return q_values


def people(count: int, one: str = "viewer", many: str = "") -> str:
    """A count with its noun: ``1 viewer``, ``1,247 viewers``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
