"""Tables to read, in pages and in notebooks alike: a column's meaning decides how it is written."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from html import escape
from typing import Any

import pandas as pd

NBSP = "\u00a0"
LEFT, RIGHT = ' style="text-align: left"', ' class="n" style="text-align: right"'


def whole_percent(share: float | None) -> str:
    """A share (0 to 1) in whole percent, never rounded to none or to all of it."""
    if share is None or math.isnan(share):
        return "not known"
    if 0 < share < 0.005:
        return "under 1\u00a0%"
    if 0.995 <= share < 1:
        return "over 99\u00a0%"
    return f"{share * 100:.0f}\u00a0%"


def span(low: float, high: float) -> str:
    """An interval of a share (0 to 1 each) in whole percent; a narrow one is rounded outwards."""
    ends = round(low * 100), round(high * 100)
    if ends[0] == ends[1] and low < high:
        ends = math.floor(low * 100), math.ceil(high * 100)
    return f"{ends[0]}–{ends[1]}\u00a0%"


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
    list of dict: key, label (without what its cells say), number (bool), form (a key of ``FORMS``),
    and low and high where there is an interval (keys of its ends).
    """
    shown: list[dict[str, Any]] = []
    for key, label in labels.items():
        if key in ("low", "high") or key.endswith(("_low", "_high")):
            base, _, end = key.rpartition("_")
            owner = next((column for column in shown if column["key"] == base), None)
            owner = owner or (shown[-1] if shown and not base else None)
            if owner:
                owner[end or key] = key
                continue
        values = [row.get(key) for row in rows if row.get(key) is not None]
        number = bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool)
                                      for v in values)  # fmt: skip
        shown.append({"key": key, "label": _without_unit(label), "number": number,
                      "form": _form(key, label, values if number else [])})  # fmt: skip
    return shown


def _without_unit(label: str) -> str:
    label = re.sub(r" \[(%|viewers)\]", "", label)
    return re.sub(r" \[(.+)\]", r", \1", label)


def _form(key: str, label: str, values: list[float]) -> str:
    """How a column's numbers are written: by its unit in the label, else by its name."""
    if key.startswith(("difference", "by_")):
        return "points"
    if "[%]" in label or "percent" in key:
        return "percent"
    if "share" in key + label or key.startswith(("reach", "rate")):
        return "share"
    if key.endswith(("q_value", "p_value")):
        return "p"
    return "number" if all(value == int(value) for value in values) else "decimal"


def _decimal(value: float) -> str:
    if abs(value) >= 100 or not value:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


FORMS = {
    "points": lambda value: f"{value * 100:+.1f}{NBSP}points".replace("-", "−"),
    "percent": lambda value: f"{value:.0f}{NBSP}%",
    "share": whole_percent,
    "p": lambda value: "under 0.001" if value < 0.001 else f"{value:.3f}",
    "number": lambda value: f"{value:,.0f}",
    "decimal": _decimal,
}


def cell(row: Mapping[str, Any], column: Mapping[str, Any], titles: Mapping[str, str] = {}) -> str:
    """A value as text, with its interval where it has one; missing is a dash.

    Parameters
    ----------
    titles : mapping, optional
        Cluster to title, put in the place of a text that is a cluster's name.
    """
    value, form = row.get(column["key"]), FORMS[column["form"]]
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and column["form"] in ("number", "decimal", "p"):
        return f"{value:,}"
    if not isinstance(value, int | float):
        text = titles.get(value, value) if isinstance(value, str) else flat(value)
        return sentence(text) if column["key"] == "topic" else text
    ends = [row.get(column.get(end)) for end in ("low", "high")]
    if None in ends:
        return form(value)
    low, high = (form(end).removesuffix(f"{NBSP}%").removesuffix(f"{NBSP}points") for end in ends)
    return f"{form(value)} ({low} to {high})"


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def flat(value: Any) -> str:
    """A small JSON value as a line of text."""
    if isinstance(value, dict):
        return (
            ", ".join(f"{str(key).replace('_', ' ')}: {flat(item)}" for key, item in value.items())
            or "none"
        )
    if isinstance(value, list):
        return ", ".join(map(flat, value)) or "none"
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table_html(labels: Mapping[str, str], rows: list[Mapping[str, Any]], caption: str = "") -> str:
    """A table for a notebook: text to the left, numbers to the right, in any viewer.

    Styles stand in each cell, for viewers of notebooks drop style sheets; class ``n`` is for pages.
    """
    shown = columns(labels, rows)
    head = "".join(
        f'<th scope="col"{RIGHT if column["number"] else LEFT}>'
        f"{escape(column['label']).replace('_', '_<wbr>')}</th>" if column["label"] else "<td></td>"
        for column in shown
    )  # fmt: skip
    body = "\n".join(f"<tr>{''.join(_cells(row, shown))}</tr>" for row in rows)
    top = f'<caption style="text-align: left">{escape(caption)}</caption>\n' if caption else ""
    return (
        f'<table class="dataframe">\n{top}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>"
    )


def section_html(finding: str, table: pd.DataFrame, labels: Mapping[str, str], note: str) -> str:
    """A finding for a notebook: its sentence, its table under labels with units, its note."""
    head = f"<p><strong>{escape(finding)}</strong></p>"
    if table.empty or not labels:
        return head + (f"<p>{escape(note)}</p>" if note else "")
    lines = zip(*([_plain(value) for value in table[name]] for name in labels), strict=True)
    rows = [dict(zip(labels, line, strict=True)) for line in lines]
    return f"{head}\n{table_html(labels, rows, note)}"


def _cells(row: Mapping[str, Any], shown: list[dict[str, Any]]) -> Iterable[str]:
    for place, column in enumerate(shown):
        text, style = escape(cell(row, column)), RIGHT if column["number"] else LEFT
        heading = not place and not column["number"]
        yield f'<th scope="row"{style}>{text}</th>' if heading else f"<td{style}>{text}</td>"


def frame_html(frame: pd.DataFrame) -> str:
    """A frame as a notebook shows it; a row number is no content and is left out."""
    index, most = frame.index, pd.get_option("display.max_rows") or len(frame)
    counted = index.nlevels == 1 and not index.name and pd.api.types.is_integer_dtype(index)
    names = [] if counted else [str(name or "") for name in index.names]
    if names and frame.columns.name:
        names[0] = f"{names[0]}, down; {frame.columns.name}, across"
    for name in frame.columns:
        names.append(" · ".join(map(str, name)) if isinstance(name, tuple) else str(name))
    labels = dict(zip(_keys(names), names, strict=True))
    shown = frame.head(most)
    values = [] if counted else [shown.index.get_level_values(n) for n in range(index.nlevels)]
    values += [shown.iloc[:, place] for place in range(shown.shape[1])]
    lines = zip(*([_plain(value) for value in column] for column in values), strict=True)
    rows = [dict(zip(labels, line, strict=True)) for line in lines]
    cut = f"The first {most} of {len(frame):,} rows." if len(frame) > most else ""
    return table_html(labels, rows, cut)


def _keys(names: list[str]) -> list[str]:
    """A key for each column name; those of an interval's ends begin with their owner's."""
    keys: list[str] = []
    owner = ""
    for place, name in enumerate(names):
        key = re.sub(r"\W+", "_", name.lower()).strip("_") or "_"
        if key in ("low", "high") and owner:
            key = f"{owner}_{key}"
        else:
            owner = key = key if key not in keys else f"{key}_{place}"
        keys.append(key)
    return keys


def _plain(value: Any) -> Any:
    """A cell's value as cell() takes it."""
    if isinstance(value, dict | list):
        return value
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, datetime) and (value.hour or value.minute):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    return value if isinstance(value, bool | int | float) else str(value)


def install() -> None:
    """In a notebook, from now on frames are shown by :func:`frame_html`."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, frame_html)
