"""What every finding is: a sentence with its number, a table, how it was computed."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from helpers.core import tables
from helpers.core.files import read_package_yaml
from helpers.findings.counts import count_people

_WORDING = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
_WORDING.filters.update(percent=tables.whole_percent, clock=tables.clock, people=count_people)
_WORDING.filters.update(count="{:,}".format, short="{:g}".format)
_WORDING.globals["span"] = tables.span
_template = cache(_WORDING.from_string)


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
    parts: Mapping[str, "Section"] = field(default_factory=dict)

    def without(self, clusters: Collection[str]) -> "Section":
        """The section without the rows of these clusters, in its parts too."""
        table, parts = self.table, {n: part.without(clusters) for n, part in self.parts.items()}
        if "cluster" in table:
            table = table[~table["cluster"].isin(clusters)]
        return replace(self, table=table, parts=parts)

    def to_json(self) -> dict[str, Any]:
        """``{finding, rows, columns, note, parts}``; missing and hidden are null."""
        rows = self.table[list(self.labels)].to_dict("records") if len(self.table) else []
        return {
            "finding": self.finding,
            "rows": [{name: to_plain(value) for name, value in row.items()} for row in rows],
            "columns": dict(self.labels),
            "note": self.note,
            "parts": {name: part.to_json() for name, part in self.parts.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Section":
        """The section that :meth:`to_json` wrote down."""
        labels = content["columns"]
        table = pd.DataFrame(content["rows"], columns=list(labels))
        parts = {name: cls.from_json(part) for name, part in content["parts"].items()}
        return cls(content["finding"], table, labels, content["note"], parts)

    def _repr_html_(self) -> str:
        return tables.section_html(self.finding, self.table, self.labels, self.note)

    def __repr__(self) -> str:
        shown = self.table.filter(list(self.labels)).rename(columns=dict(self.labels))
        rows = "" if shown.empty else shown.to_string(index=False)
        return "\n".join(filter(None, (self.finding, rows, self.note)))


def make_section(
    name: str, table: pd.DataFrame, parts: Mapping[str, Section] | None = None, **values: Any
) -> Section:
    """A section with the sentence, labels and note that ``sections.yml`` has under that name.

    Parameters
    ----------
    name : str
        A key of ``sections.yml``; columns that it names and the table lacks are left out.
    values
        What the wording is made with, beside the table.
    """
    wording = read_package_yaml("findings/sections.yml")[name]

    def say(text: str) -> str:
        return _template(text).render(values, table=table).strip().replace("\n", " ")

    labels = {
        column: say(column.replace("_", " ") if label is None else label)
        for column, label in wording["columns"].items()
        if column in table
    }
    note = say(wording.get("note", ""))
    return Section(say(wording["finding"]), table, labels, note, parts or {})


def to_plain(value: Any) -> Any:
    """A value in types that JSON knows; NaN, infinity and missing become null."""
    if isinstance(value, list | tuple | np.ndarray):
        return [to_plain(item) for item in value]
    if pd.isna(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        # Sums differ in the last digits with the order of rows; a run repeated does not.
        return float(f"{value:.12g}") if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
