"""What a run ends by telling: counts, clusters, Mave's action, credits, what to look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from helpers.core import files
from helpers.core.folders import Manifest, read_manifest
from helpers.mavera import answers
from helpers.mavera.claims import Claim
from helpers.report.data import to_the_point
from helpers.report.pages import account_name


def shown(path: Path) -> str:
    """A path as short as it can be said to whoever works in the current folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def summarize(folder: Path) -> list[str]:
    """The lines that a run ends by printing."""
    manifest = read_manifest(folder)
    counts, window = manifest.counts, manifest.window
    account = account_name(manifest.account)
    told = [name for name in ("visitors", "sessions", "viewers") if name in counts]
    lines = [
        f"Run {folder.name} · account: {account} · {window['start_date']} to {window['end_date']}",
        " · ".join(f"{name}: {counts[name]:,}" for name in told),
    ]
    if counts.get("viewers") == 0:
        lines.append("No viewers in the window: nothing to cluster, nothing to buy.")
    sessions = manifest.model_extra.get("fetch", {}).get("sessions", {})
    if sessions and not sessions.get("new", 1) and not sessions.get("changed", 1):
        lines.append("No new sessions since the last run.")
    lines += headlines(folder)
    clusters = folder / "data" / "clusters.csv"
    lines += _table(files.read_csv(clusters)) if clusters.is_file() else []
    lines += _advice(folder, manifest)
    if manifest.credits:
        kind = "Mavera" if manifest.source["mavera"] == "live" else "play credits of the sandbox"
        lines.append(f"Credits spent: {manifest.credits.get('spent', 0):,} ({kind})")
    page = folder / "report.html"
    lines += notices(folder)
    lines.append(f"Report: {shown(page)}" if page.is_file() else f"Folder: {shown(folder)}")
    return [line for line in lines if line]


def headlines(folder: Path) -> list[str]:
    """What is new since the last run, whether shares changed, how many people are worth a call."""
    insights = files.read_json(folder / "data" / "insights.json")
    change, people = insights.get("change", {}), insights.get("people", {})
    sections = (change.get("parts", {}).get("news", {}), change, people)
    return [section["finding"] for section in sections if section]


def _table(clusters: pd.DataFrame) -> list[str]:
    percents = {"share": "share %", "identified_share": "identified %"}
    table = clusters.assign(**{name: clusters[name] * 100 for name in percents})
    table = table.rename(columns=percents)
    return table.to_string(index=False, float_format="%.1f", na_rep="-").splitlines()


def notices(folder: Path) -> list[str]:
    """What the reader of a finished run has to know, or to do."""
    manifest = read_manifest(folder)
    extra = manifest.model_extra
    lines = [f"Warning: {text}" for text in extra.get("warnings", ())]
    for name, values in extra.get("unmatched", {}).items():
        if values:
            whom = "no session has" if name == "media_ids" else "no viewer's e-mail has"
            lines.append(f"Warning: {name}: {whom} {', '.join(values)}. Check the spelling.")
    if manifest.source.get("mavera") == "live":
        lines += _money(folder, manifest)
    if files.read_json(folder / "data" / "analysis.json").get("status") == "clarifying":
        lines.append(
            "Mave asked back instead of answering: there is no advice in this run. "
            "See 05_mave_analysis.html."
        )
    return lines


def _money(folder: Path, manifest: Manifest) -> list[str]:
    lines, bill = [], manifest.credits.get("bill")
    spent = manifest.credits.get("spent") or manifest.parameters.get("max_credits")
    if bill is not None and not spent:
        to_buy = f" To buy: --max-credits {bill}" if bill else ""
        lines.append(
            f"Nothing was bought: max_credits is 0. The bill: {bill:,} credits at most.{to_buy}"
        )
    shown_bill = files.read_json(folder / "data" / "personas.json").get("bill") or {}
    if shown_bill.get("auto_recharge"):
        lines.append(
            "Warning: auto-recharge is on at Mavera: it buys credits by itself when they run low."
        )
    return lines


def _advice(folder: Path, manifest: Manifest) -> list[str]:
    """The action that Mave names, else the first lines of what it said; and who wrote them."""
    analysis = files.read_json(folder / "data" / "analysis.json")
    if not analysis.get("answer"):
        return []
    figures = [Claim(**row) for row in analysis.get("figures", ())]
    lines = answers.excerpt(analysis["answer"], figures)
    if analysis.get("status") == "answered" and analysis.get("closing"):
        closing = analysis["closing"]
        anywhere = [replace(claim, line="") for claim in figures if claim.line in closing]
        lines = answers.excerpt(to_the_point(closing), anywhere, length=300)
    asks = " asks" if analysis.get("status") == "clarifying" else ""
    sandbox = manifest.source.get("mavera") == "sandbox"
    writer = "simulated by the sandbox" if sandbox else "written by AI"
    return [f"Mave{asks} ({writer}):", *(f"  {line}" for line in lines)]
