"""Tables to read, in pages and in notebooks alike: a column's meaning decides how it is written."""

import math
import re
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime
from html import escape
from typing import Any

import pandas as pd

from helpers.core.files import open_templates

NBSP = "\u00a0"
ENDS = ("low", "high")


def whole_percent(share: float | None) -> str:
    """A share (0 to 1) in whole percent, never rounded to none or to all of it."""
    if share is None or math.isnan(share):
        return "not known"
    if share not in (0, 1) and not 0.005 <= share < 0.995:
        return f"under 1{NBSP}%" if share < 0.5 else f"over 99{NBSP}%"
    return f"{share * 100:.0f}{NBSP}%"


def span(low: float, high: float) -> str:
    """An interval of a share (0 to 1 each) in whole percent; a narrow one is rounded outwards."""
    ends = round(low * 100), round(high * 100)
    if ends[0] == ends[1] and low < high:
        ends = math.floor(low * 100), math.ceil(high * 100)
    return f"{ends[0]}–{ends[1]}\u00a0%"


def clock(seconds: float) -> str:
    """Seconds of a video as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def columns(labels: Mapping[str, str], rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How to show each column; ends of an interval, low and high, join the value they belong to.

    Parameters
    ----------
    labels : mapping
        Key of a column to its label, which may end with a unit: ``"completion [%]"``.
    rows : list of mapping
        Values by key; None is missing.

    Returns
    -------
    list of dict: key, label (without what its cells say), number (bool), form (function that
    writes a number), and low and high where there is an interval (keys of its ends).
    """
    shown: dict[str, dict[str, Any]] = {}
    for key, label in labels.items():
        base, _, last = key.rpartition("_")
        end = next((word for word in (last, label) if word in ENDS), "")
        if end and shown:
            shown.get(base, [*shown.values()][-1])[end] = key
            continue
        values = [row[key] for row in rows if row.get(key) is not None]
        number = bool(values) and all(map(_is_number, values))
        text = re.sub(r" \[(.+)\]", r", \1", re.sub(r" \[(%|viewers)\]", "", label))
        form = _form(f"{key} {label}", values if number else [])
        shown[key] = {"key": key, "label": text, "number": number, "form": form}
    return list(shown.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _form(name: str, values: list[float]) -> Callable[[float], str]:
    """How a column's numbers are written: by its name and unit, else by the numbers."""
    named = next((form for pattern, form in FORMS if re.search(pattern, name)), None)
    return named or (WHOLE if all(value == int(value) for value in values) else decimal)


def decimal(value: float) -> str:
    """A number as short as it stays readable: 12,190, 8.4, 0.071."""
    if abs(value) >= 100 or not value:
        return f"{value:,.0f}"
    digits = ".1f" if abs(value) >= 1 else ".2f" if abs(value) >= 0.1 else ".2g"
    return f"{value:{digits}}"


FORMS = (
    (r"^second", clock),
    (r"\bdifference", lambda points: f"{points * 100:+.1f}{NBSP}points".replace("-", "−")),
    (r"\bdetectable", lambda points: f"{points * 100:.0f}{NBSP}points"),
    (r"\[%\]|percent", lambda percent: f"{percent:.0f}{NBSP}%"),
    (r"share|(\b|_)(reach|rate|opening|lost|left|rewatched)\b", whole_percent),
    (r"(\b|_)[qp][-_]value", lambda p: "under 0.001" if p < 0.001 else f"{p:.3f}"),
)
"""By key and label of a column, how its numbers are written."""
WHOLE = "{:,.0f}".format
"""How those of a column without such a name are written where all are whole, else as decimals."""


def cell(row: Mapping[str, Any], column: Mapping[str, Any], titles: Mapping[str, str] = {}) -> str:
    """A value as text, with its interval where it has one; missing is a dash.

    Parameters
    ----------
    titles : mapping, optional
        Cluster to title, put in the place of a text that is a cluster's name.
    """
    value, form = row.get(column["key"]), column["form"]
    if value is None:
        return "–"
    if not _is_number(value):
        text = titles.get(value, value) if isinstance(value, str) else flat(value)
        return sentence(text) if column["key"] == "topic" else text
    ends = [row.get(column.get(end)) for end in ENDS]
    if None in ends:
        return form(value)
    low, high = (re.sub(f"{NBSP}(%|points)$", "", form(end)) for end in ends)
    return f"{form(value)} ({low} to {high})"


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def flat(value: Any) -> str:
    """A small JSON value as a line of text."""
    if isinstance(value, dict):
        value = [f"{str(key).replace('_', ' ')}: {flat(item)}" for key, item in value.items()]
    if isinstance(value, list):
        return ", ".join(map(flat, value)) or "none"
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime) and (value.hour or value.minute):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    return f"{value:,}" if isinstance(value, int) else str(value)


# Styles stand in each cell, for viewers of notebooks drop style sheets; class ``n`` is for pages.
_TEMPLATES = open_templates("core")
_TEMPLATES.filters["escaped"] = escape


def table_html(labels: Mapping[str, str], rows: list[Mapping[str, Any]], caption: str = "") -> str:
    """A table for a notebook: text to the left, numbers to the right, in any viewer."""
    template = _TEMPLATES.get_template("table.j2")
    shown = columns(labels, rows)
    return template.render(columns=shown, rows=rows, caption=caption, cell=cell).strip()


def section_html(finding: str, table: pd.DataFrame, labels: Mapping[str, str], note: str) -> str:
    """A finding for a notebook: its sentence, its table under labels with units, its note."""
    below = f"<p>{escape(note)}</p>" if note else ""
    if len(table) and labels:
        below = "\n" + table_html(labels, _rows(table[list(labels)]), note)
    return f"<p><strong>{escape(finding)}</strong></p>{below}"


def frame_html(frame: pd.DataFrame) -> str:
    """A frame as a notebook shows it; a row number is no content and is left out."""
    most = pd.get_option("display.max_rows") or len(frame)
    shown, index = frame.head(most), frame.index
    if index.names != [None] or not pd.api.types.is_integer_dtype(index):
        names = [str(name or "") for name in index.names]
        if frame.columns.name:
            names[0] += f", down; {frame.columns.name}, across"
        shown = shown.reset_index(names=names, allow_duplicates=True)
    labels = {
        str(place): " · ".join(filter(None, map(str, name if isinstance(name, tuple) else [name])))
        for place, name in enumerate(shown.columns)
    }
    cut = f"The first {most} of {len(frame):,} rows." if len(frame) > most else ""
    return table_html(labels, _rows(shown.set_axis([*labels], axis=1)), cut)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def install() -> None:
    """From now on frames are shown by :func:`frame_html`; printed ones have as readable numbers."""
    pd.set_option("display.max_colwidth", None, "display.float_format", decimal)
    show_as("text/html", pd.DataFrame, frame_html)


def show_as(mime: str, kind: type, form: Callable[[Any], Any]) -> None:
    """From now on a notebook shows what is of this kind by `form`; elsewhere nothing changes."""
    ipython = sys.modules.get("IPython")
    if shell := ipython and ipython.get_ipython():
        shell.display_formatter.formatters[mime].for_type(kind, form)
