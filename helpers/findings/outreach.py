"""People to call and companies to sell to: private files, and counts for the report."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from helpers.core import files
from helpers.core.parameters import Window
from helpers.findings import affinity
from helpers.findings.opt_out import is_opted_out
from helpers.findings.section import fewer, is_few, part, people
from helpers.store import engine
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules

if TYPE_CHECKING:
    from helpers.run import Run

CALL_HOURS = 48
INTENT = re.compile(
    r"\b(pric(es?|ing)|costs?|demos?|trials?|buy(ing|er)?s?|purchas\w*|plans?|quotes?|roi|compar\w*|"
    r"versus|vs|case stud\w*|customer stor\w*|testimonials?|onboarding|implement\w*|integrat\w*|"
    r"getting started|book a call|preise?|angebote?|vorführung|prix|tarifs?|démo|precios?)\b",
    re.I,
)
"""Titles that speak of buying."""
FREE_MAIL = re.compile(
    r"(gmail|googlemail|yahoo|ymail|rocketmail|hotmail|outlook|live|msn|icloud|me|mac|aol|proton|"
    r"protonmail|pm|gmx|web|mail|yandex|qq|163|126|zoho|hey|fastmail|tutanota|comcast|verizon|att|"
    r"sbcglobal|cox|btinternet|orange|wanadoo|free|laposte|libero|naver|t-online)"
    r"\.(com?|net|org|me|de|at|ch|fr|it|es|nl|ru|in|uk|ca|br|jp|kr|co\.(uk|jp|in|nz)|com\.(br|au|mx|ar))"
)
CSV_COLUMNS = {
    "Email": "email", "First Name": "first", "Last Name": "last", "Company": "company",
    "Job Title": "org_title", "Country": "country", "Cluster": "title", "Score": "score",
    "Reason": "reason", "Hours Since Last View": "hours", "Last View UTC": "last_view",
    "Videos Watched": "videos", "Videos Finished": "finished",
    "Average Percent Watched": "avg_percent_watched", "Visits": "visits", "Cookies": "cookies",
    "Recency Points": "recency_points", "Depth Points": "depth_points",
    "Content Points": "content_points", "Next Video": "next_video",
}  # fmt: skip
"""Header of each column of an outreach file; the first six are those that CRMs map by name."""


def _of_company(domain: str) -> bool:
    return "." in domain and not FREE_MAIL.fullmatch(domain)


def people_of(
    con: Engine,
    rules: ClusterRules,
    window: Window,
    *,
    opt_out: set[str] = frozenset(),
    min_cell: int = 10,
) -> pd.DataFrame:
    """Identified people, a row per e-mail, best first.

    Parameters
    ----------
    con : Engine
        After :func:`helpers.findings.affinity.prepare`.
    opt_out : set of str
        E-mails and domains, lower case.

    Returns
    -------
    DataFrame
        person (the e-mail, case folded), domain, free_mail (bool), email, first, last, company,
        org_title, country, cluster, title, cookies, videos, finished, visits (int),
        avg_percent_watched (0–100), last_view, hours (to the end of the window), score (0–100) and
        its recency_points (40), depth_points (40) and content_points (20), reason (text),
        next_video. ``attrs["opted_out"]``: people left out.
    """
    named = con.execute("SELECT media_id, title FROM titles").df()
    intent = named.assign(intent=named["title"].map(lambda text: bool(INTENT.search(text))))
    following = affinity.next_videos(con, min_cell=min_cell, most=10)
    following["place"] = np.arange(len(following))
    con.register("intent", intent.astype({"intent": bool, "title": str, "media_id": str}))
    con.register("next_videos", following)
    now = datetime.combine(window.end + timedelta(1), time(), UTC)
    con.gather(engine.sql("identified_plays"), "identified_plays")
    con.execute(engine.sql("people"), {"now": now})
    frame = con.execute("FROM people").df()
    out = [is_opted_out(person, opt_out) for person in frame["person"]]
    frame = frame[~np.array(out, dtype=bool)].copy()
    frame["free_mail"] = [not _of_company(domain) for domain in frame["domain"]]
    frame["free_mail"] = frame["free_mail"].astype(bool)
    own = frame["domain"].mask(frame["free_mail"])
    frame["company"] = frame["org_name"].astype(object).where(frame["org_name"].notna(), own)
    names = frame["name"].astype("string").str.split(n=1, expand=True)
    names = names.reindex(columns=[0, 1])
    frame["first"], frame["last"] = names[0], names[1]
    points = ["recency_points", "depth_points", "content_points"]
    frame["score"] = frame[points].sum(axis=1)
    frame["title"] = frame["cluster"].map(rules.titles)
    frame["reason"] = [_reason(row) for row in frame.itertuples()]
    frame = frame.sort_values(["score", "person"], ascending=[False, True], ignore_index=True)
    frame.attrs["opted_out"] = sum(out)
    return frame


def _reason(row: Any) -> str:
    """Why this person, in words: ``finished 6 of 7 videos, “Pricing demo” yesterday``."""
    day = {0: "today", 1: "yesterday"}.get(row.told_days, f"{row.told_days} days ago")
    watched = f"finished {row.finished} of {people(row.videos, 'video')}"
    if not row.finished:
        watched = f"watched {row.avg_percent_watched:.0f} % of {people(row.videos, 'video')}"
    title = " ".join(row.told.split())[:80]
    said = [watched, f"“{title}” {day}"]
    if row.visits > 1:
        said.append(f"{row.visits} visits")
    return ", ".join([*said, "converted"] if row.converted else said)


def companies(frame: pd.DataFrame) -> pd.DataFrame:
    """Identified people by e-mail domain, free mail apart: the list for selling to accounts.

    Returns
    -------
    DataFrame, most people first, then score
        Domain, Company, People, Cookies, Clusters (text: how many people in each), Best Score,
        Videos Finished, Hours Since Last View.
    """
    own = frame[~frame["free_mail"]].assign(org=frame["org_name"])
    grouped = own.groupby("domain", sort=False)
    table = grouped.agg(
        org=("org", "first"), people=("person", "size"), cookies=("cookies", "sum"),
        score=("score", "max"), finished=("finished", "sum"), hours=("hours", "min"),
    )  # fmt: skip
    counts = own.groupby(["domain", "title"], sort=False).size().reset_index(name="n")
    counts["text"] = counts["title"].astype(str) + ": " + counts["n"].astype(str)
    table["clusters"] = counts.groupby("domain", sort=False)["text"].agg(", ".join)
    table = table.reset_index().sort_values(
        ["people", "score", "domain"], ascending=[False, False, True]
    )
    names = {
        "domain": "Domain", "org": "Company", "people": "People", "cookies": "Cookies",
        "clusters": "Clusters", "score": "Best Score", "finished": "Videos Finished",
        "hours": "Hours Since Last View",
    }  # fmt: skip
    return table[list(names)].rename(columns=names).round(1).reset_index(drop=True)


def write(run: Run, frame: pd.DataFrame, rules: ClusterRules) -> None:
    """Write ``private/outreach_<cluster>.csv`` for every rule, and ``private/companies.csv``.

    Files have mode 0600; cells that would run as a formula are disarmed.
    """
    for stale in run.private("").glob("outreach_*.csv"):
        stale.unlink()
    sheet = frame[list(CSV_COLUMNS.values())].set_axis(list(CSV_COLUMNS), axis=1)
    sheet["Last View UTC"] = pd.to_datetime(sheet["Last View UTC"]).dt.strftime("%Y-%m-%d %H:%M:%S")
    numbers = sheet.select_dtypes("number").columns
    sheet[numbers] = sheet[numbers].round(1)
    for name in rules.names:
        rows = sheet[frame["cluster"] == name]
        files.write_csv(rows, run.private(f"outreach_{name}.csv"), private=True)
    files.write_csv(companies(frame), run.private("companies.csv"), private=True)


def outreach(frame: pd.DataFrame, rules: ClusterRules, *, min_cell: int = 10) -> dict[str, Any]:
    """The part ``outreach``: counts of people to call, by cluster; no names, no addresses.

    Its finding says "fewer than" of 1 to ``min_cell - 1`` people, which the table hides.
    """
    table = pd.DataFrame({"cluster": rules.names}).set_index("cluster")
    recent, week = frame["hours"] <= CALL_HOURS, frame["hours"] <= 168
    for name, rows in (("people", frame), ("hours_48", frame[recent]), ("week", frame[week])):
        counted = rows["cluster"].value_counts()
        table[name] = counted.reindex(rules.names, fill_value=0).to_numpy("int64")
    first = table.iloc[0]  # rules stand in the order of worth: nobody calls who bounced
    finding = "Nobody is identified: there is no one to call. An e-mail gate would change that."
    if frame.attrs["opted_out"] and not len(frame):
        finding = "Everybody identified is on the opt-out list: there is no one to call."
    if len(frame) and not first["people"]:
        others = fewer(len(frame), min_cell)
        finding = (
            f"Nobody among {rules.titles[first.name]} is on the list: there is no one to call "
            f"first. The lists of the other clusters hold {others} to write to."
        )
    elif len(frame):
        fresh, week, known = (
            fewer(first[name], min_cell) for name in ("hours_48", "week", "people")
        )
        who, verb = ("person", "is") if known == "1" else ("people", "are")
        finding = (
            f"{known.capitalize()} {who} among {rules.titles[first.name]} {verb} worth a call, "
            f"freshest first: {fresh} within {CALL_HOURS} hours of the last view, "
            f"{week} within 7 days."
        )
    columns = "cluster people hours_48 week"
    note = (
        "One row per e-mail in private/outreach_<cluster>.csv, best first: somebody identified in "
        "two browsers is two viewers and one row. Score: recency 40 (halves every "
        "week), depth 40 (five videos' worth of watching), content 20 (how far a video about "
        "buying was watched). Hours count to the end of the window. "
        f"{frame.attrs['opted_out']} left out by the opt-out list."
    )
    return part(
        finding, table.reset_index(), columns, note,
        to_call=None if is_few(first["hours_48"], min_cell) else int(first["hours_48"]),
        people=len(frame), opted_out=frame.attrs["opted_out"],
    )  # fmt: skip


def companies_part(frame: pd.DataFrame) -> dict[str, Any]:
    """The part ``companies``: counts of companies by people; the names stay in the private file."""
    sizes = frame[~frame["free_mail"]].groupby("domain").size()
    free, several = int(frame["free_mail"].sum()), int((sizes >= 2).sum())
    bins = {"1": sizes == 1, "2–4": sizes.between(2, 4), "5 and more": sizes >= 5}
    rows = pd.DataFrame(
        {"size": list(bins), "companies": [int(has.sum()) for has in bins.values()]}
    )
    finding = (
        f"{people(len(sizes), 'company', 'companies')} by e-mail domain, {several:,} with two "
        f"people or more; on free mail: {people(free, 'person', 'people')}."
        if len(frame)
        else "Nobody is identified, so no company is known."
    )
    note = "The list with its clusters is private/companies.csv."
    return part(
        finding,
        rows,
        {"size": "identified people", "companies": "companies"},
        note,
        companies=len(sizes),
        several=several,
        free_mail=free,
    )
