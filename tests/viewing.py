"""Small tables typed by hand, and viewers drawn from known kinds, for the tests of the analysis."""

from datetime import UTC, date, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from helpers.core.parameters import Window
from helpers.store import engine, rules
from helpers.store.engine import Engine
from helpers.store.schema import MEDIAS, SESSIONS, VISITORS

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEXTS = [name for name in SESSIONS.names[5:] if name != "mobile"]


def session(viewer, media="v1", percent=0.5, day=0, minutes=0, **texts):
    """One session: ``day`` days and ``minutes`` after noon of 1 June 2026."""
    at = START + timedelta(days=day, minutes=minutes)
    known = {"visitor_key": viewer, "media_id": media, "percent_viewed": percent}
    return known | {"received_at": at, "media_name": f"Video {media}"} | texts


def finished(viewer, videos, day=0):
    return [session(viewer, f"v{n}", 0.95, day=day) for n in range(videos)]


def visitor(key, email=None, **more):
    return {"visitor_key": key, "email": email or f"{key}@{key}.example", **more}


def table_of(sessions, prefix):
    """Rows or a frame of sessions, with every column of the store."""
    if not isinstance(sessions, pd.DataFrame):
        sessions = pa.Table.from_pylist(list(sessions), SESSIONS).to_pandas()
    keys = [f"{prefix}{key or number}" for number, key in enumerate(sessions["event_key"])]
    texts = {"visitor_key": str, "media_id": str}
    whole = sessions.astype(texts).assign(event_key=keys, mobile=False)[SESSIONS.names]
    return pa.Table.from_pandas(whole, SESSIONS, preserve_index=False, safe=False)


def tables(sessions, *, earlier=(), visitors=(), medias=(), chosen=None):
    """A connection as the enrich stage hands it out; ``earlier`` lies before the window."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    given = {
        "inside": table_of(sessions, "e"),
        "before": table_of(earlier, "before"),
        "visitors": pa.Table.from_pylist(list(visitors), VISITORS),
        "medias": pa.Table.from_pylist(list(medias), MEDIAS),
    }
    for name, table in given.items():
        con.register("given", table)
        con.execute(f"CREATE TABLE {name} AS FROM given")
    con.execute(
        "CREATE TABLE sessions AS SELECT *, received_at::DATE AS day FROM inside; "
        "CREATE TABLE all_sessions AS FROM sessions UNION ALL "
        "SELECT *, received_at::DATE FROM before; "
        "CREATE VIEW chosen_sessions AS FROM all_sessions; "
        "CREATE TABLE excluded_visitors (visitor_key VARCHAR); "
        "CREATE TABLE viewer_emails AS SELECT visitor_key, email FROM visitors "
        "WHERE contains(email, '@')"
    )
    con.execute(engine.features_sql())
    case = (chosen or rules.load()).case_sql()
    con.execute(f"CREATE TABLE viewers AS SELECT *, {case} AS cluster FROM new_features")
    con.execute("CREATE TABLE plays AS FROM new_plays")
    for name in ("media_names", "titles"):
        con.execute(f"CREATE TABLE {name} AS {engine.sql(name)}")
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
    names = np.array(list(kinds))
    kind = rng.choice(len(names), viewers, p=shares)
    least, more, centre, spread = np.array(list(kinds.values())).T
    count = least[kind].astype(int) + rng.integers(0, more[kind].astype(int) + 1)
    who = np.repeat(np.arange(viewers), count)
    place = np.arange(len(who)) - np.repeat(np.cumsum(count) - count, count)
    media = (rng.integers(0, videos, viewers)[who] + place) % videos
    percent = np.clip(rng.normal(centre[kind][who], spread[kind][who]), 0, 1)
    seconds = pd.to_timedelta(rng.integers(0, days * 86400, len(who)), unit="s")
    keys = np.char.add(prefix, np.arange(viewers).astype(str))
    frame = pd.DataFrame(
        {
            "event_key": [f"{prefix}e{n}" for n in range(len(who))],
            "visitor_key": keys[who],
            "media_id": np.char.add("v", media.astype(str)),
            "received_at": pd.Timestamp("2026-06-01", tz="UTC") + seconds,
            "percent_viewed": percent,
        }
    )
    frame[TEXTS] = None
    return frame, pd.Series(names[kind], index=keys)


def window(first=date(2026, 6, 1), last=date(2026, 6, 28)):
    return Window(start=first, end=last, as_of=last + timedelta(1))
