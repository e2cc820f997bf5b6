"""Private files: lists of people for sales, a workbook of them, and what two CRMs import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.core import files, privacy
from helpers.core.parameters import Window
from helpers.findings.change import Previous
from helpers.findings.opt_out import is_opted_out
from helpers.store import duck
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules

BOM = "utf-8-sig"  # without it a spreadsheet takes the file for another encoding
LEFT = "Left"  # a CRM keeps its value where a cell is empty, so those who left have a value too
MOST_ROWS = 10_000  # people on a sheet; the CSV file holds everybody
LONGEST_CELL, LONGEST_SHEET_NAME = 32_767, 31  # characters, by Excel
LIST = (
    "to_call score reason email first_name last_name company job_title domain country cluster "
    "previous_cluster cluster_change last_viewed_at video_count finished avg_percent_watched "
    "minutes_watched total_visits cookies recency_points depth_points visits_points clicks_points "
    "content_points next_video"
)
CRM = (
    "email first_name last_name company job_title country domain cluster previous_cluster "
    "cluster_change cluster_changed_on score to_call reason last_viewed_at minutes_watched "
    "next_video"
)
HEADERS = {
    "domain": "Email Domain",
    "video_count": "Videos Watched",
    "finished": "Videos Finished",
    "avg_percent_watched": "Average Percent Watched",
    "total_visits": "Visits",
}
VIEWER = {"domain": "Viewer Domain", "cluster": "Viewer Cluster", "score": "Viewer Score"}
"""Headers of properties and fields that an owner adds; "Email Domain" is HubSpot's own."""
HUBSPOT = VIEWER | {
    "first_name": "First name",
    "last_name": "Last name",
    "company": "Company name",
    "job_title": "Job title",
    "country": "Country/Region",
}
"""Labels of HubSpot's contact properties, which its import matches with headers."""
SALESFORCE = VIEWER | {"job_title": "Title"}
"""Labels of Salesforce's lead fields, by "Field Mapping for Importing Leads"."""
CRM_FILES = {"crm_hubspot.csv": HUBSPOT, "crm_salesforce.csv": SALESFORCE}


def read_people_then(engine: Engine, previous: Previous | None) -> pd.DataFrame:
    """People of the previous run: those of its CRM file, else the identified among its viewers.

    Returns
    -------
    DataFrame
        person, email, cluster (title), cluster_changed_on (ISO day or missing), to_call (bool).
    """
    columns = ["person", "email", "cluster", "cluster_changed_on", "to_call"]
    if previous is None:
        return pd.DataFrame(columns=columns).astype({"to_call": bool})
    if previous.people_path and previous.people_path.is_file():
        then = files.read_csv(previous.people_path).rename(columns=_names(HUBSPOT))
        then = then[then["cluster_change"] != "left"]
        called = then["to_call"].astype(str).str.lower() == "true"
        then = then.assign(to_call=called, person=then["email"].str.strip().str.lower())
    else:
        then = engine.query(
            "SELECT lower(trim(email)) AS person, arg_max(email, last_active) AS email, "
            "arg_max(cluster, last_active) AS cluster, NULL AS cluster_changed_on, "
            f"false AS to_call FROM {duck.parquet(previous.viewers_path)} "
            "WHERE identified GROUP BY person"
        )
        then["cluster"] = then["cluster"].map(previous.rules.titles)
    return then[columns].drop_duplicates("person")


def _names(labels: Mapping[str, str]) -> dict[str, str]:
    return {_header(name, labels): name for name in CRM.split()}


def _header(name: str, labels: Mapping[str, str]) -> str:
    return labels.get(name, name.replace("_", " ").title())


def write_files(
    folder: Path,
    people: pd.DataFrame,
    rules: ClusterRules,
    window: Window,
    *,
    people_then: pd.DataFrame,
    opt_out: frozenset[str] = frozenset(),
    company_news: pd.Series | None = None,
) -> None:
    """Write the private files: who opted out is in none of them.

    ``outreach_<cluster>.csv`` for each rule, ``outreach.xlsx``, ``companies.csv``,
    ``crm_hubspot.csv`` and ``crm_salesforce.csv``, all open to their owner alone.

    Parameters
    ----------
    people : DataFrame
        Of :func:`helpers.findings.scoring.read_people`.
    people_then : DataFrame
        Of :func:`read_people_then`.
    opt_out : frozenset of str
        As for `people`: who left and opted out is not listed as having left.
    company_news : Series, optional
        Of :func:`helpers.findings.change.find_company_news`.
    """
    listed = (
        people[~people["opted_out"]].drop(columns="cluster").rename(columns={"title": "cluster"})
    )
    listed = _with_change(listed, people_then, window)
    day = listed["last_active"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    listed = listed.assign(last_viewed_at=day)
    for stale in folder.glob("outreach_*.csv"):
        stale.unlink()
    sheets = {}
    for name, title in rules.titles.items():
        rows = _as_text(listed[listed["cluster"] == title], LIST, HEADERS, ("yes", "no"))
        files.write_csv(rows, folder / f"outreach_{name}.csv", private=True, encoding=BOM)
        sheets[title] = rows
    write_workbook(folder / "outreach.xlsx", sheets)
    companies = list_companies(listed, company_news)
    files.write_csv(companies, folder / "companies.csv", private=True, encoding=BOM)
    left = people_then[~people_then["person"].isin(people["person"])]
    asked = [is_opted_out(person, opt_out) for person in left["person"]]
    left = left[~np.array(asked, dtype=bool)]
    left = left.assign(previous_cluster=left["cluster"], cluster=LEFT, cluster_change="left")
    left = left.assign(cluster_changed_on=window.end.isoformat(), to_call=False, score=0.0)
    everybody = pd.concat([listed, left.sort_values("person")], ignore_index=True)
    for name, labels in CRM_FILES.items():
        rows = _as_text(everybody, CRM, labels, ("TRUE", "FALSE"))
        files.write_csv(rows, folder / name, private=True, encoding=BOM)


def _with_change(listed: pd.DataFrame, people_then: pd.DataFrame, window: Window) -> pd.DataFrame:
    """With the cluster of the previous run, and when it changed."""
    then = people_then.set_index("person").reindex(listed["person"]).reset_index()
    same = then["cluster"].to_numpy() == listed["cluster"].to_numpy()
    joined = then["cluster"].isna().to_numpy()
    today = window.end.isoformat()
    since = then["cluster_changed_on"].astype(object).where(same).fillna(today)
    return listed.assign(
        previous_cluster=then["cluster"].to_numpy(),
        cluster_change=np.select([joined, same], ["joined", "same"], "moved"),
        cluster_changed_on=since.to_numpy(),
    )


def _as_text(
    rows: pd.DataFrame, names: str, labels: Mapping[str, str], flags: tuple[str, str]
) -> pd.DataFrame:
    """Columns under their headers, every cell a text; missing is empty."""
    shown = rows.reindex(columns=names.split())
    shown["to_call"] = np.where(shown["to_call"].astype(bool), *flags)
    for name in shown.select_dtypes("float"):
        shown[name] = shown[name].round(1)
    texts = shown.astype(object).where(shown.notna(), "").astype(str)
    return texts.rename(columns={name: _header(name, labels) for name in shown})


def write_workbook(path: Path, sheets: Mapping[str, pd.DataFrame]) -> None:
    """Write a workbook with a sheet per title: text cells alone, filters, a header that stays."""
    from xlsxwriter import Workbook

    names = name_sheets(list(sheets))
    # In memory: xlsxwriter would leave its parts in a folder for all, were this process killed.
    with (
        files.replace_file(path, private=True) as staged,
        Workbook(str(staged), {"in_memory": True}) as book,
    ):
        bold = book.add_format({"bold": True})
        for (title, rows), name in zip(sheets.items(), names, strict=True):
            sheet = book.add_worksheet(name)
            for place, header in enumerate(rows):
                sheet.write_string(0, place, header, bold)
            for line, row in enumerate(rows.head(MOST_ROWS).itertuples(index=False), 1):
                for place, cell in enumerate(row):
                    sheet.write_string(line, place, privacy.clean_text(cell)[:LONGEST_CELL])
            last = min(len(rows), MOST_ROWS)
            if len(rows) > last:
                more = f"The first {last:,} of {len(rows):,} people of {title}; all are in the CSV."
                sheet.write_string(last + 1, 0, more)
            sheet.freeze_panes(1, 0)
            sheet.autofilter(0, 0, max(last, 1), len(rows.columns) - 1)
            sheet.set_column(0, len(rows.columns) - 1, 18)


def name_sheets(titles: list[str]) -> list[str]:
    """A name that Excel takes for each title, no two alike."""
    names: list[str] = []
    for title in titles:
        plain = re.sub(r"[\[\]:*?/\\]", " ", privacy.clean_text(title))
        name = " ".join(plain.split()).strip("' ")[:LONGEST_SHEET_NAME] or "Cluster"
        number, base = 1, name
        while name.lower() in {"history", *(known.lower() for known in names)}:
            number += 1
            name = f"{base[: LONGEST_SHEET_NAME - len(str(number)) - 3]} ({number})"
        names.append(name.strip("' "))
    return names


def list_companies(listed: pd.DataFrame, news: pd.Series | None = None) -> pd.DataFrame:
    """Companies by e-mail domain, those to call first.

    Returns
    -------
    DataFrame
        Domain, Company (as most of its people gave it), News (new, back, or empty), People, To
        Call, Clusters (text), Best Score, Videos Finished, Minutes Watched, Last Viewed At.
    """
    own = listed[~listed["free_mail"]]
    grouped = own.groupby("domain")
    counts = own.groupby(["domain", "cluster"]).size().reset_index(name="count")
    counts["text"] = counts["cluster"] + ": " + counts["count"].astype(str)
    table = pd.DataFrame(
        {
            "Company": grouped["company"].agg(lambda names: next(iter(names.mode()), None)),
            "News": None if news is None else news.reindex(grouped.size().index),
            "People": grouped.size(),
            "To Call": grouped["to_call"].sum(),
            "Clusters": counts.groupby("domain")["text"].agg(", ".join),
            "Best Score": grouped["score"].max(),
            "Videos Finished": grouped["finished"].sum(),
            "Minutes Watched": grouped["minutes_watched"].sum().round(1),
            "Last Viewed At": grouped["last_viewed_at"].max(),
        }
    )
    table = table.rename_axis("Domain").reset_index()
    return table.sort_values(["To Call", "Best Score", "Domain"], ascending=[False, False, True])
