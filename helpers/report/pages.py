"""What all pages share: what a browser may do with them, their style, how values are written."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from markupsafe import Markup

from helpers import plots
from helpers.core import files, tables

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
PHONE, ROW_NAME = 46, 14  # characters of a row that fit on a phone, and of its name, which wraps
HEADING = 0.85  # width of a heading's character to one of a cell
UNIT = re.compile(r"^\[viewers\]$|, (people|sessions|viewings|plays|companies|share)$")
PLOT_WIDTH, PLOT_HEIGHT = 1000, 200  # units of the view box of a line chart
TEMPLATES = files.open_templates("report/templates")
"""Everything that is not marked safe is escaped; what they share stands at the end."""


def account_name(name: str | None) -> str:
    """The account as its owner named it; live stands for one without a name."""
    return str(name) if name and name != "live" else "not named"


def dated(text: str) -> str:
    """A text with days as in 30 Jun 2026 and months as in Jun 2026; names of runs stay."""

    def write(found: re.Match) -> str:
        try:
            day = date.fromisoformat(found[1] + (found[2] or "-01"))
        except ValueError:
            return found[0]
        return f"{day.day}{tables.NBSP}" * bool(found[2]) + f"{day:%b}{tables.NBSP}{day.year}"

    time = r"(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?"
    day = rf"(?<!\b[Rr]un )(?<!\brun: )\b(\d{{4}}-\d\d)(-\d\d)?{time}(?![\w-]|\.\d)"
    return re.sub(day, write, text)


def count(value: int | None) -> str:
    return "few" if value is None else f"{value:,.0f}"


def mean(value: float | None, digits: int = 1, unit: str = "") -> str:
    return "–" if value is None else f"{value:.{digits}f}{unit.replace(' ', tables.NBSP)}"


def prose(text: str | None, figures: Sequence[Mapping[str, Any] | str] = ()) -> Markup:
    """Text that AI wrote, made safe; figures that are not in the data marked, in their line."""
    from helpers.mavera import answers, claims

    marks = [
        claims.Claim(row, "", claims.MISSING, 0) if isinstance(row, str) else claims.Claim(**row)
        for row in figures
    ]
    return Markup(answers.markdown_html(text or "", marks))


def table_columns(section: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns of a section's table; ``narrow`` on each where a row fits on a phone."""
    labels, rows = dict(section["columns"]), section["rows"]
    labels.pop("media_id" if "title" in labels else "", None)  # the id is for machines
    shown = tables.columns(labels, rows)
    first = " ".join(str(row[shown[0]["key"]]) for row in rows)
    width = max(ROW_NAME, *map(len, re.findall(r"[^\s_]+", first)))
    for column in shown:
        column["label"] = tables.sentence(UNIT.sub("", column["label"]) or column["key"])
        words = any(isinstance(row[column["key"]], str) for row in rows)
        column["missing"] = "few" if column["form"] is tables.WHOLE and not words else "–"
    for column in shown[1:]:
        cells = [len(cell(row, column)) for row in rows]
        width += max(*cells, *(len(word) * HEADING for word in column["label"].split())) + 1
    return [column | {"narrow": width <= PHONE} for column in shown]


def cell(row: Mapping[str, Any], column: Mapping[str, Any], titles: Mapping[str, str] = {}) -> str:
    """A value as text; a hidden count is few, of no known length a dash."""
    if row.get(column["key"]) is None:
        return "–" if row.get("known") == 0 else column["missing"]
    return dated(tables.cell(row, column, titles))


def lines(values: Sequence[float | None], top: float) -> list[str]:
    """A line chart's points for SVG: a piece for each run of values without a gap."""
    step, pieces = PLOT_WIDTH / max(len(values) - 1, 1), [[]]
    for place, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{place * step:.0f},{PLOT_HEIGHT * (1 - value / top):.0f}")
    return [" ".join(piece if len(piece) > 1 else piece * 2) for piece in pieces if piece]


def headings_in_order(html: str) -> str:
    """The page with one h1 and no level left out, which texts from outside may have done.

    The first heading is the h1; another goes one level below the nearest one before it that had a
    smaller number.
    """
    above: list[tuple[int, int]] = []  # (level as written, level now) of the headings around

    def renumber(found: re.Match) -> str:
        if found[1]:
            return f"</h{above[-1][1]}" if above else found[0]
        written = int(found[2])
        while len(above) > 1 and above[-1][0] >= written:
            above.pop()
        above.append((written, above[-1][1] + 1 if above else 1))
        return f"<h{above[-1][1]}"

    return re.sub(r"<(/?)h([1-6])(?=[\s>])", renumber, html)


css = TEMPLATES.get_template("style.css").render(light=plots.COLOURS, dark=plots.DARK)
TEMPLATES.globals.update(policy=POLICY, css=Markup(css), lines=lines, cell=cell, prose=prose)
TEMPLATES.globals.update(table_columns=table_columns, span=tables.span, flat=tables.flat)
TEMPLATES.filters.update(count=count, mean=mean, dated=dated, account=account_name)
TEMPLATES.filters.update(percent=tables.whole_percent, clock=tables.clock, sentence=tables.sentence)
