"""What all pages share: what a browser may do with them, their style, headings in order."""

from __future__ import annotations

import functools
import re

import jinja2
from markupsafe import Markup

from helpers import plots

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


@functools.cache
def environment() -> jinja2.Environment:
    """The templates; everything that is not marked safe is escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("helpers.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    css = made.get_template("style.css").render(light=plots.COLOURS, dark=plots.DARK)
    made.globals.update(policy=POLICY, css=Markup(css))
    return made


def headings_in_order(html: str) -> str:
    """The page with no heading level left out, which texts from outside may have done.

    A heading goes one level below the nearest one before it that had a smaller number.
    """
    above: list[tuple[int, int]] = []  # (level as written, level now) of the headings around

    def renumber(found: re.Match) -> str:
        if found[1]:
            return f"</h{above[-1][1]}" if above else found[0]
        written = int(found[2])
        while above and above[-1][0] >= written:
            above.pop()
        above.append((written, above[-1][1] + 1 if above else 1))
        return f"<h{above[-1][1]}"

    return re.sub(r"<(/?)h([1-6])(?=[\s>])", renumber, html)
