"""Small tables typed by hand, and viewers drawn from known kinds, for the tests of the analysis."""

from datetime import UTC, date, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd

from helpers.store import engine, rules
from helpers.store.engine import Engine

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEXTS = (
    "media_name email country region city org page utm_source utm_medium utm_campaign",
    "conversion_type",
)
TEXTS = " ".join(TEXTS).split()
SESSION_COLUMNS = ["event_key", "visitor_key", "media_id", "received_at", "percent_viewed"]


def session(viewer, media="v1", percent=0.5, day=0, minutes=0, **texts):
    """One session: ``day`` days and ``minutes`` after noon of 1 June 2026."""
    at = START + timedelta(days=day, minutes=minutes)
    return {
        "visitor_key": viewer, "media_id": media, "percent_viewed": percent, "received_at": at,
        "media_name": f"Video {media}", **texts,
    }  # fmt: skip


def frame_of(sessions):
    """Sessions as a frame with every column of the store."""
    frame = pd.DataFrame(list(sessions), columns=None)
    for column in [*SESSION_COLUMNS, *TEXTS]:
        if column not in frame:
            frame[column] = None
    frame["event_key"] = [key or f"e{n}" for n, key in enumerate(frame["event_key"])]
    return frame


def tables(sessions, *, earlier=(), visitors=(), medias=(), chosen=None):
    """A connection as the enrich stage hands it out; ``earlier`` lies before the window."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    casts = ", ".join(f"{name}::VARCHAR AS {name}" for name in TEXTS)
    inside = sessions if isinstance(sessions, pd.DataFrame) else frame_of(sessions)
    before = earlier if isinstance(earlier, pd.DataFrame) else frame_of(earlier)
    before = before.assign(event_key="before" + before["event_key"].astype(str))
    for name, frame in (("inside", inside), ("before", before)):
        con.register("given", frame)
        con.execute(
            f"CREATE TABLE {name} AS SELECT event_key::VARCHAR AS event_key, visitor_key::VARCHAR "
            "AS visitor_key, media_id::VARCHAR AS media_id, received_at::TIMESTAMPTZ AS "
            f"received_at, percent_viewed::DOUBLE AS percent_viewed, {casts}, "
            "false AS mobile, received_at::TIMESTAMPTZ::DATE AS day FROM given"
        )
    con.execute("CREATE TABLE sessions AS FROM inside")
    con.execute("CREATE TABLE all_sessions AS FROM inside UNION ALL FROM before")
    people = "visitor_key VARCHAR, name VARCHAR, email VARCHAR, org_name VARCHAR, org_title VARCHAR"
    con.execute(f"CREATE TABLE visitors ({people})")
    for row in visitors:
        values = [row.get(key) for key in ["visitor_key", "name", "email", "org_name", "org_title"]]
        con.execute("INSERT INTO visitors VALUES (?, ?, ?, ?, ?)", values)
    con.execute(
        "CREATE TABLE medias (media_id VARCHAR, name VARCHAR, duration DOUBLE, folder VARCHAR)"
    )
    for row in medias:
        values = [row.get(key) for key in ["media_id", "name", "duration", "folder"]]
        con.execute("INSERT INTO medias VALUES (?, ?, ?, ?)", values)
    con.execute("CREATE TABLE excluded_visitors (visitor_key VARCHAR)")
    con.execute(
        "CREATE TABLE viewer_emails AS SELECT visitor_key, email FROM visitors "
        "WHERE contains(email, '@')"
    )
    case = (chosen or rules.load()).case_sql()
    con.execute(engine.features_sql())
    con.execute(f"CREATE TABLE viewers AS SELECT *, {case} AS cluster FROM new_features")
    con.execute("CREATE TABLE plays AS FROM new_plays")
    con.execute(f"CREATE TABLE media_names AS {engine.sql('media_names')}")
    con.execute(f"CREATE TABLE titles AS {engine.sql('titles')}")
    return Engine(con)


KINDS = {
    # videos watched (at least, and up to so many more), completion in the mean, its spread
    "binge_watchers": (8, 10, 0.9, 0.05),
    "engaged_explorers": (4, 2, 0.62, 0.06),
    "bouncers": (1, 0, 0.12, 0.05),
    "skimmers": (3, 2, 0.25, 0.06),
}


def drawn(viewers, rng, *, kinds=KINDS, shares=None, days=28, videos=40, prefix="p"):
    """Sessions of viewers of known kinds over ``days`` days, and the kind of each viewer."""
    names = list(kinds)
    kind = rng.choice(len(names), viewers, p=shares)
    least, more, centre, spread = (np.array([kinds[n][i] for n in names]) for i in range(4))
    count = least[kind] + rng.integers(0, more[kind] + 1)
    who = np.repeat(np.arange(viewers), count)
    place = np.arange(len(who)) - np.repeat(np.cumsum(count) - count, count)
    media = (rng.integers(0, videos, viewers)[who] + place) % videos
    percent = np.clip(rng.normal(centre[kind][who], spread[kind][who]), 0, 1)
    seconds = rng.integers(0, days * 86400, len(who))
    frame = pd.DataFrame(
        {
            "event_key": [f"{prefix}e{n}" for n in range(len(who))],
            "visitor_key": np.char.add(prefix, who.astype(str)),
            "media_id": np.char.add("v", media.astype(str)),
            "received_at": pd.Timestamp("2026-06-01", tz="UTC")
            + pd.to_timedelta(seconds, unit="s"),
            "percent_viewed": percent,
        }
    )
    for column in TEXTS:
        frame[column] = None
    labels = pd.Series(
        np.array(names)[kind], index=np.char.add(prefix, np.arange(viewers).astype(str))
    )
    return frame, labels


def window(first=date(2026, 6, 1), last=date(2026, 6, 28)):
    from helpers.core.parameters import Window

    return Window(first, last, last + timedelta(1))
