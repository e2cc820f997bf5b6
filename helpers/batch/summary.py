"""What a run ends by telling, by the templates in ``texts/``: summary, notices, message."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from helpers.core import files, settings
from helpers.core.folders import read_manifest
from helpers.mavera import answers
from helpers.mavera.claims import Claim
from helpers.report import pages
from helpers.report.data import to_the_point

# What a stage did not write is not told.
TEXTS = files.open_templates("batch/texts", undefined=jinja2.ChainableUndefined)
TEXTS.filters.update(account=pages.account_name, count=pages.count)
PERCENTS = {"share": "share %", "identified_share": "identified %"}


def tell(text: str, folder: Path) -> list[str]:
    """Lines about a run, from its files alone.

    Parameters
    ----------
    text : str
        ``summary``, which a run ends by printing; ``notices``, what its reader has to know or to
        do; ``message``, which is sent: its first line is the title.
    folder : Path
        The run's folder.
    """
    names = ("insights", "personas", "analysis")
    found = {name: files.read_json(folder / "data" / f"{name}.json") for name in names}
    table, page = folder / "data" / "clusters.csv", folder / "report.html"
    clusters = files.read_csv(table) if table.is_file() else pd.DataFrame()
    return render(
        text,
        **found,
        run=read_manifest(folder),
        folder=folder,
        clusters=clusters.to_dict("records"),
        table=_as_text(clusters) if len(clusters) else "",
        excerpt=_excerpt(found["analysis"]),
        place=settings.shown(folder),
        page=settings.shown(page) if page.is_file() else "",
        resume=settings.command(f"run --resume {folder.name}", folder.parent),
    )


def render(text: str, **facts: Any) -> list[str]:
    """Lines of a text of ``texts/``; blank ones are left out."""
    written = TEXTS.get_template(f"{text}.txt.j2").render(**facts)
    return [line for line in written.splitlines() if line.strip()]


def _as_text(clusters: pd.DataFrame) -> str:
    table = clusters.assign(**{name: clusters[name] * 100 for name in PERCENTS})
    table = table.rename(columns=PERCENTS)
    return table.to_string(index=False, float_format="%.1f", na_rep="-")


def _excerpt(analysis: dict[str, Any]) -> list[str]:
    """The action that Mave names, else the first lines of what it said."""
    figures = [Claim(**row) for row in analysis.get("figures", ())]
    closing = analysis.get("closing") if analysis.get("status") == "answered" else None
    if not closing:
        return answers.excerpt(analysis.get("answer") or "", figures)
    anywhere = [replace(claim, line="") for claim in figures if claim.line in closing]
    return answers.excerpt(to_the_point(closing), anywhere, length=300)
