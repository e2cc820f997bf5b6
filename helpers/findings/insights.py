"""``data/insights.json``: what an expert would add to the cluster table.

``insights.json`` holds ``schema_version``, ``basis`` (window, rules and source they were made with)
and these parts, each of the form of :func:`helpers.findings.section.part`::

    {"finding": one sentence with its number,
     "rows": [flat objects], "columns": {column: label with unit},
     "note": how it was reckoned, "figures": {name: number},
     "more": {name: a further part of the same form}}

=============  ===================================================================================
content        cells of cluster and video; more: next_video, folders, videos (against length)
sources        pages and utm values by cluster
conversions    rates by cluster (observed: high, medium, low); more: kinds, look_back
change         a Section of :func:`helpers.findings.change.compare_runs`
stability      shares with intervals, resampling; more: sensitivity, visits; figures.split_half
discovery      clusters found by the data; more: finishers, cross (with the rules), evidence
people         a Section of :func:`helpers.findings.people.list_people`
coverage       what the data cover and cannot tell
=============  ===================================================================================

Shares run from 0 to 1, columns that say ``[%]`` from 0 to 100; missing and hidden are null. No
name, address or visitor_key is in it.
"""

from __future__ import annotations

import html
import json
from typing import Any

import pandas as pd

from helpers.core import files, tables
from helpers.core.files import write_json
from helpers.core.parameters import Parameters
from helpers.core.progress import progress
from helpers.findings import (
    affinity,
    change,
    conversions,
    coverage,
    crm,
    discovery,
    people,
    scoring,
    stability,
)
from helpers.findings.opt_out import OPT_OUT, read_opt_out
from helpers.findings.section import plain
from helpers.mavera import answers
from helpers.run import Run

SCHEMA_VERSION = 1
PARTS = (
    "content", "sources", "conversions", "change", "stability", "discovery", "people", "coverage",
)  # fmt: skip


@progress("findings")
def write(run: Run) -> dict[str, Any]:
    """Write ``data/insights.json``, ``data/affinity.csv`` and the private files.

    Parameters
    ----------
    run : Run
        Reads ``data/viewers.parquet`` and the account's store.

    Returns
    -------
    dict
        What was written; see the module's docstring.

    Raises
    ------
    DataError
        Stage 03 has not named the clusters yet.
    """
    run.need("viewers.parquet", "03_cluster")
    con, rules, window = run.engine, run.rules, run.window
    titles, seed, min_cell = rules.titles, run.params.seed, run.params.min_cell
    affinity.prepare(con)
    cells = affinity.cells(con, "affinity", min_cell)
    files.write_csv(affinity.table(con, found=cells), run.data("affinity.csv"))
    previous, opt_out = _previous(run), read_opt_out(run.settings.outputs / OPT_OUT)
    next_videos = affinity.next_videos(con, min_cell=min_cell, most=10)
    known = scoring.read_people(con, rules, window, opt_out=opt_out, next_videos=next_videos)
    then = crm.read_people_then(con, previous)
    changed = change.compare_runs(
        con, rules, window, previous=previous, people=known, people_then=then,
        settings=_settings(run.params), min_cell=min_cell,
    )  # fmt: skip
    news = change.find_company_news(con, known, previous) if previous else None
    crm.write_files(
        run.private(""), known, rules, window, people_then=then, opt_out=opt_out, company_news=news
    )
    run.record(counts={"people": len(known), "people_to_call": int(known["to_call"].sum())})
    run.data("clusters_with_finishers.yml").write_text(discovery.clusters_file(rules), "utf-8")
    parts = {
        "content": affinity.content(con, cells, titles, min_cell=min_cell),
        "sources": affinity.sources(con, titles, min_cell=min_cell),
        "conversions": conversions.conversions(con, titles, min_cell=min_cell),
        "change": changed.to_json(),
        "stability": stability.stability(con, rules, min_cell=min_cell, seed=seed),
        "discovery": discovery.discovery(con, rules, min_cell=min_cell, seed=seed),
        "people": people.list_people(con, rules, known, min_cell=min_cell).to_json(),
        "coverage": coverage.coverage(con, window, titles, fetched=run.store.days()),
    }
    basis = {
        "window": window.as_dict(),
        "rules": rules.fingerprint,
        "source": {"wistia": run.source.wistia, "mavera": run.source.mavera},
    }
    result = plain({"schema_version": SCHEMA_VERSION, "basis": basis, **parts})
    write_json(run.data("insights.json"), result)
    return result


def _settings(params: Parameters) -> dict[str, tuple[str, ...]]:
    names = ("media_ids", "exclude_domains")
    return {name: tuple(getattr(params, name)) for name in names}


def _previous(run: Run) -> change.Previous | None:
    """The newest finished run of the account that ended earlier, where its viewers are there."""
    found = run.previous()
    if found is None or found.source.wistia != run.source.wistia:
        return None
    viewers = found.data("viewers.parquet")
    if not viewers.is_file():
        return None
    return change.Previous(
        found.folder.name, found.window, found.rules, viewers, found.private("crm_hubspot.csv"),
        _settings(found.params),
    )  # fmt: skip


def read(run: Run) -> dict[str, Any]:
    """``data/insights.json`` of the run; empty when stage 03 has not written it."""
    path = run.find("insights.json")
    return json.loads(path.read_text("utf-8")) if path else {}


def findings(insights: dict[str, Any]) -> pd.DataFrame:
    """One finding of each part, index part: a sentence with its number."""
    rows = {name: insights[name]["finding"] for name in PARTS if insights.get(name)}
    return pd.DataFrame({"finding": rows}).rename_axis("part")


def show(part: dict[str, Any], *, fold: bool = False) -> answers.Shown:
    """A part for a notebook: its finding, and its table with how it was reckoned.

    Parameters
    ----------
    fold : bool
        Whether the table opens only at a click on the finding.
    """
    rows, finding = part["rows"], html.escape(part["finding"])
    if not rows:
        return answers.Shown(f"<p><strong>{finding}</strong></p><p>{html.escape(part['note'])}</p>")
    shown = tables.table_html(part["columns"], rows, part["note"])
    if fold:
        return answers.Shown(f"<details><summary>{finding}</summary>\n{shown}\n</details>")
    return answers.Shown(f"<p><strong>{finding}</strong></p>\n{shown}")


def table(part: dict[str, Any]) -> pd.DataFrame:
    """The rows of a part, such as ``insights["stability"]``, under their labels with units."""
    frame = pd.DataFrame(part["rows"], columns=list(part["columns"]))
    return frame.rename(columns=part["columns"])
