"""Private files: lists of people for sales, a workbook of them, and what two CRMs import."""

import re
from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import xlsxwriter

from helpers.core import files, privacy
from helpers.core.parameters import Window
from helpers.findings.opt_out import is_opted_out
from helpers.store.engine import sql
from helpers.store.rules import ClusterRules

BOM = "utf-8-sig"  # without it a spreadsheet takes the file for another encoding
LEFT = "Left"  # a CRM keeps its value where a cell is empty, so those who left have a value too
MOST_ROWS = 5_000  # people on a sheet; the CSV file holds everybody
LONGEST_CELL, LONGEST_SHEET_NAME = 32_767, 31  # characters, by Excel


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
        Of :func:`helpers.findings.change.read_people_then`.
    opt_out : frozenset of str
        As for `people`: who left and opted out is not listed as having left.
    company_news : Series, optional
        Of :func:`helpers.findings.change.find_company_news`.
    """
    listed = people[~people["opted_out"]].assign(cluster=people["title"])
    listed = _with_change(listed, people_then, window)
    listed["last_viewed_at"] = listed["last_active"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    for stale in folder.glob("outreach_*.csv"):
        stale.unlink()
    sheets = {}
    for name, title in rules.titles.items():
        rows = _as_text(listed[listed["cluster"] == title], "outreach", ("yes", "no"))
        files.write_csv(rows, folder / f"outreach_{name}.csv", encoding=BOM)
        sheets[title] = rows
    write_workbook(folder / "outreach.xlsx", sheets)
    files.write_csv(list_companies(listed, company_news), folder / "companies.csv", encoding=BOM)
    left = people_then[~people_then["person"].isin(people["person"])]
    left = left.loc[[not is_opted_out(person, opt_out) for person in left["person"]]]
    left = left.assign(previous_cluster=left["cluster"], cluster=LEFT, cluster_change="left")
    left = left.assign(cluster_changed_on=window.end.isoformat(), to_call=False, score=0.0)
    everybody = pd.concat([listed, left.sort_values("person")], ignore_index=True)
    for name in ("hubspot", "salesforce"):
        rows = _as_text(everybody, name, ("TRUE", "FALSE"))
        files.write_csv(rows, folder / f"crm_{name}.csv", encoding=BOM)


def _with_change(listed: pd.DataFrame, people_then: pd.DataFrame, window: Window) -> pd.DataFrame:
    """With the cluster of the previous run, and when it changed."""
    then = people_then.set_index("person").reindex(listed["person"]).set_axis(listed.index)
    same, joined = then["cluster"] == listed["cluster"], then["cluster"].isna()
    since = then["cluster_changed_on"].astype(object).where(same)
    return listed.assign(
        previous_cluster=then["cluster"],
        cluster_change=np.select([joined, same], ["joined", "same"], "moved"),
        cluster_changed_on=since.fillna(window.end.isoformat()),
    )


def _as_text(rows: pd.DataFrame, kind: str, flags: tuple[str, str]) -> pd.DataFrame:
    """A list of that kind, every cell a text; missing is empty."""
    headers = files.read_package_yaml("findings/lists.yml")[kind]
    shown = rows.reindex(columns=list(headers))
    shown["to_call"] = np.where(shown["to_call"].astype(bool), *flags)
    return shown.round(1).astype("str").fillna("").rename(columns=headers)


def write_workbook(path: Path, sheets: Mapping[str, pd.DataFrame]) -> None:
    """Write a workbook with a sheet per title: text cells alone, filters, a header that stays."""
    with (
        files.replace_file(path) as staged,
        # In memory: xlsxwriter would leave its parts in a folder for all, were this process killed.
        xlsxwriter.Workbook(str(staged), {"in_memory": True}) as book,
    ):
        bold = book.add_format({"bold": True})
        for (title, rows), name in zip(sheets.items(), name_sheets(list(sheets)), strict=True):
            sheet, columns = book.add_worksheet(name), len(rows.columns)
            for column, header in enumerate(rows):
                sheet.write_string(0, column, header, bold)
                for row, text in enumerate(rows[header].head(MOST_ROWS), 1):
                    if text:
                        sheet.write_string(row, column, privacy.clean_text(text)[:LONGEST_CELL])
            if len(rows) > MOST_ROWS:
                more = f"The first {MOST_ROWS:,} of {len(rows):,} people of {title}"
                sheet.write_string(MOST_ROWS + 1, 0, f"{more}; all are in the CSV.")
            sheet.freeze_panes(1, 0)
            sheet.autofilter(0, 0, max(min(len(rows), MOST_ROWS), 1), columns - 1)
            sheet.set_column(0, columns - 1, 18)


def name_sheets(titles: list[str]) -> list[str]:
    """A name that Excel takes for each title, no two alike."""
    names: dict[str, str] = {"history": ""}  # by the name in lower case; Excel's own is taken
    for title in titles:
        plain = re.sub(r"[\[\]:*?/\\]", " ", privacy.clean_text(title))
        base = " ".join(plain.split()).strip("' ") or "Cluster"
        name, number = base[:LONGEST_SHEET_NAME].strip("' "), 1
        while name.lower() in names:
            number += 1
            name = f"{base[: LONGEST_SHEET_NAME - len(str(number)) - 3]} ({number})"
        names[name.lower()] = name
    return [*names.values()][1:]


def list_companies(listed: pd.DataFrame, news: pd.Series | None = None) -> pd.DataFrame:
    """Companies by e-mail domain, those to call first.

    Returns
    -------
    DataFrame
        Domain, Company (as most of its people gave it), News (new, back, or empty), People, To
        Call, Clusters (text), Best Score, Videos Finished, Minutes Watched, Last Viewed At.
    """
    typed = {"domain": "string", "cluster": "string", "company": "string", "to_call": bool}
    columns = [*typed, "free_mail", "score", "finished", "minutes_watched", "last_viewed_at"]
    news = pd.Series(news, dtype="str", name="news").rename_axis("domain").reset_index()
    with duckdb.connect() as connection:
        connection.register("listed", listed[columns].astype(typed))
        connection.register("news", news.astype("string"))
        return connection.execute(sql("companies")).df()
