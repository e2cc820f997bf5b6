"""What every finding is: a sentence with its number, a table, how it was computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from helpers.core import tables
from helpers.findings.disclosure import suppress
from helpers.store import engine
from helpers.store.engine import Engine


@dataclass(frozen=True)
class Section:
    """One finding. A notebook shows it by itself; work goes on with ``section.table``.

    Attributes
    ----------
    finding : str
        One sentence in plain English with its number.
    table : DataFrame
        What the sentence rests on: plain column names, clusters and ids as columns.
    labels : mapping of str to str
        Column of the table to its label with a unit, such as ``"completion [%]"``; the columns
        that are shown, in this order.
    note : str
        How it was computed, and what it cannot tell.
    parts : mapping of str to Section
        Further sections that belong to this one, by name.
    """

    finding: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    parts: Mapping[str, Section] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """``{finding, rows, columns, note, parts}``; missing and hidden are null."""
        rows = self.table[list(self.labels)].to_dict("records") if self.labels else []
        return {
            "finding": self.finding,
            "rows": [{name: to_plain(value) for name, value in row.items()} for row in rows],
            "columns": dict(self.labels),
            "note": self.note,
            "parts": {name: part.to_json() for name, part in self.parts.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Section:
        """The section that :meth:`to_json` wrote down."""
        labels = dict(content["columns"])
        return cls(
            finding=content["finding"],
            table=pd.DataFrame(content["rows"], columns=list(labels)),
            labels=labels,
            note=content["note"],
            parts={name: cls.from_json(part) for name, part in content["parts"].items()},
        )

    def _repr_html_(self) -> str:
        return tables.section_html(self.finding, self.table, self.labels, self.note)

    def __repr__(self) -> str:
        lines = [self.finding]
        if len(self.table) and self.labels:
            shown = self.table[list(self.labels)].rename(columns=dict(self.labels))
            lines.append(shown.to_string(index=False))
        return "\n".join([*lines, self.note] if self.note else lines)


def label_columns(names: str, **labels: str) -> dict[str, str]:
    """Labels of columns, in order: as given, else the name with blanks.

    Examples
    --------
    >>> label_columns("cluster to_call", to_call="worth a call")
    {'cluster': 'cluster', 'to_call': 'worth a call'}
    """
    return {name: labels.get(name, name.replace("_", " ")) for name in names.split()}


def to_plain(value: Any) -> Any:
    """A value in types that JSON knows; NaN, infinity and missing become null."""
    if isinstance(value, list | tuple | np.ndarray):
        return [to_plain(item) for item in value]
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        # Sums differ in the last digits with the order of rows; a run repeated does not.
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


# ---- what the findings before this edition are made of

TOO_FEW = 30
"""Groups of fewer viewers are marked: a 95 % interval of a share is then up to 36 points wide."""


LABELS = {
    "after": "now [viewers]", "again": "two visits or more", "apart": "parted by a valley",
    "avg_percent_watched": "completion [%]", "avg_session_percent": "watched per session [%]",
    "band": "stability", "basis": "seen among", "before": "before [viewers]",
    "by_rules": "by changed rules", "by_settings": "by window or selection",
    "by_viewers": "by viewers", "came_back": "came back [viewers]",
    "came_back_share": "share that came back",
    "converted": "converted [viewers]", "converted_share": "share that converted",
    "followers": "watched it next [viewers]", "found": "found by the data",
    "hours_48": "seen in the last 48 hours", "identified": "identified", "jaccard": "Jaccard",
    "k": "clusters", "kept": "keep their label [share of draws]", "of": "of",
    "lift": "lift [times all viewers]", "lowered": "move if lowered [viewers]",
    "meaning": "what it means", "minutes": "length [min]", "now": "share now",
    "one_session": "with one session [viewers]", "once": "one visit",
    "people": "identified people", "percent": "completion [median %]",
    "preference": "preference [times all viewings]", "q_value": "q-value",
    "raised": "move if raised [viewers]", "reach": "reach [share of the cluster]",
    "reported": "share then", "resampled": "resampled [viewers]", "share_after": "share now",
    "share_before": "share before", "title": "video", "too_few": "too few to say",
    "topic": "what", "unseen": "have not seen it [viewers]",
    "usual_percent": "usual at this length [%]", "value": "value", "verdict": "against usual",
    "videos": "videos [median]", "visits": "visits [median]", "week": "seen in the last 7 days",
}  # fmt: skip
"""Label with unit of each column a part may show; others are called by their own name."""


def part(
    finding: str,
    rows: pd.DataFrame | None = None,
    columns: str | Mapping[str, str] = "",
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
    columns : str or mapping
        Names of the columns to show, in order; a mapping gives them other labels than ``LABELS``.
    note : str
        How it was reckoned, and what it cannot tell.
    more : mapping of str to part, optional
        Further parts that belong to this one.
    **figures
        Single numbers and texts, under ``figures``.
    """
    if isinstance(columns, str):
        columns = {name: label(name) for name in columns.split()}
    columns = dict(columns)
    shown = [] if rows is None else rows[list(columns)].to_dict("records")
    return {
        "finding": finding,
        "rows": plain(shown),
        "columns": columns,
        "note": note,
        "figures": plain(figures),
        "more": dict(more or {}),
    }


def label(name: str) -> str:
    """How a column is called in reports."""
    end = next((end for end in ("low", "high") if name.endswith(f"_{end}")), None)
    return end or LABELS.get(name, name.replace("_", " "))


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
        # Sums differ in the last digits with the order of rows; a run repeated does not.
        return float(f"{value:.12g}") if math.isfinite(value) else None
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


def hide_small(
    frame: pd.DataFrame, count: str, total: str, min_cell: int, *, also: Iterable[str] = ()
) -> pd.DataFrame:
    """The frame without counts, and what follows from them, that tell of a small group.

    Hidden are counts of 1 to ``min_cell`` − 1, those whose remainder of ``total`` is so small, and
    others that would tell them; see :func:`helpers.findings.disclosure.suppress`.
    """
    both = pd.DataFrame({"in": frame[count], "out": frame[total] - frame[count]})
    hidden = suppress(both, min_cell)["in"].isna()
    shown = {name: frame[name].mask(hidden) for name in also}
    return frame.assign(**{count: frame[count].astype("Int64").mask(hidden)}, **shown)


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


def is_few(count: int, min_cell: int) -> bool:
    """Whether a count of people is hidden: somebody, but fewer than ``min_cell``."""
    return 0 < count < min_cell


def fewer(count: int, min_cell: int) -> str:
    """A count of people in a sentence; ``fewer than 10`` where it is hidden."""
    return f"fewer than {min_cell}" if is_few(count, min_cell) else f"{count:,}"


def features(con: Engine, sessions: str, table: str, columns: str = "*") -> None:
    """Make ``table``: the features of the viewers of other sessions, by the same SQL file.

    Parameters
    ----------
    sessions : str
        Table with the columns of ``sessions``.
    columns : str
        What to select of the features, as SQL.
    """
    con.each(engine.features_sql(sessions))
    con.each(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {columns} FROM new_features")
