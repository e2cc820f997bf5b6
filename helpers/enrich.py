"""Stage 02: what each viewer did, one row per viewer, from the sessions in the window."""

from __future__ import annotations

import pandas as pd

from helpers.core.errors import DataError
from helpers.core.parameters import Window, bare_domain
from helpers.run import Run, read_manifest
from helpers.store import engine, shards
from helpers.store.engine import Engine

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def connection(run: Run) -> Engine:
    """The run's tables in the engine; the same connection until the features are made anew.

    Returns
    -------
    Engine, on this machine or on a Dask cluster, with
        ``sessions`` (one row per event_key, in the window, after media_ids and exclude_domains),
        ``all_sessions`` (one row per event_key, whole store), ``stored_sessions`` (as fetched),
        ``visitors``, ``medias``, and ``features`` or ``viewers`` where an earlier stage wrote them.

    Raises
    ------
    DataError
        Nothing was fetched yet for the account.
    """
    known = getattr(run, "_connection", None)
    if known is None:
        known = run._connection = _connect(run)
    return known


def _connect(run: Run) -> Engine:
    if not run.store.days():
        raise DataError(
            f"{run.stage}: nothing was fetched yet for account {run.account}. "
            "Run 01_fetch first; it fills the store."
        )
    window, media_ids, domains = _scope(run)
    con = shards.over_store(
        run.settings, run.store, window, media_ids=media_ids, exclude_domains=domains
    )
    for table in ("features", "viewers"):
        path = run.find(f"{table}.parquet")
        if path:
            con.show(table, path)
    return con


def _scope(run: Run) -> tuple[Window, list[str], list[str]]:
    """Window, videos and domains: this run's, or in dev those of the run it reads from."""
    window, params = run.window, run.params
    found = run.find("features.parquet")
    if found and found.parent.parent != run.folder and run.stage != "02_enrich":
        manifest = read_manifest(found.parent.parent)
        window = Window.from_dict(manifest["window"])
        params = {**params, **manifest.get("parameters", {})}
    return window, params["media_ids"], params["exclude_domains"]


def features(run: Run) -> pd.DataFrame:
    """Write ``data/features.parquet`` and say what came of the sessions.

    Parameters
    ----------
    run : Run
        Reads the account's store: sessions of the window, visitors.

    Returns
    -------
    DataFrame, one row per step, index ``step``: ``rows``
        Rows fetched for the window, repeated rows dropped, sessions left out by videos or domains,
        sessions that count, viewers, identified viewers, visitors without a session.

    Raises
    ------
    DataError
        Nothing was fetched yet.

    References
    ----------
    Wistia Stats API, List Events and List Visitors.
    """
    run._connection = None
    con = connection(run)
    target = run.data("features.parquet")
    con.each(engine.sql("features"))
    con.export("FROM new_features", target)
    con.show("features", target)
    counts = _counts(con)
    watch_times(run)
    run.record(
        counts={key: value for key, value in counts.items() if key != "repeated_rows"},
        repeated_rows=counts["repeated_rows"],
        unmatched=_unmatched(con, run),
    )
    return _steps(counts)


def _unmatched(con: Engine, run: Run) -> dict[str, list[str]]:
    """Videos and e-mail domains of the parameters that no session and no viewer has."""
    _, media_ids, domains = _scope(run)
    if not media_ids and not domains:  # most often: nothing is read for nothing
        return {"media_ids": [], "exclude_domains": []}
    con.gather(
        """
        SELECT DISTINCT 'media_ids' AS name, media_id AS value FROM all_sessions
        WHERE list_contains(getvariable('media_ids'), media_id)
        UNION ALL
        SELECT DISTINCT 'exclude_domains', lower(split_part(email, '@', -1)) FROM viewer_emails
        WHERE list_contains(getvariable('exclude_domains'), lower(split_part(email, '@', -1)))
        """,
        "matched",
    )
    known = set(con.execute("SELECT DISTINCT name, value FROM matched").fetchall())
    return {
        "media_ids": [one for one in media_ids if ("media_ids", one) not in known],
        "exclude_domains": [
            one for one in domains
            if ("exclude_domains", bare_domain(one)) not in known
        ],
    }  # fmt: skip


def _counts(con: Engine) -> dict[str, int]:
    in_window = "day BETWEEN getvariable('window_start') AND getvariable('window_end')"
    con.gather(
        f"""
        SELECT
            (SELECT count(*) FROM stored_sessions WHERE {in_window}) AS session_rows,
            (SELECT count(*) FROM ranked_repeats WHERE place > 1 AND {in_window}) AS repeated_rows,
            (SELECT count(*) FROM sessions) AS sessions,
            (SELECT count(*) FROM features) AS viewers,
            (SELECT count(*) FROM features WHERE identified) AS identified_viewers,
            (SELECT count(*) FROM visitors) AS visitors,
            (SELECT count(*) FROM features ANTI JOIN visitors USING (visitor_key))
                AS viewers_without_visitor_row,
            (SELECT count(*) FROM visitors ANTI JOIN features USING (visitor_key))
                AS visitors_without_session
        """,
        "counted",
    )
    row = con.execute("SELECT sum(COLUMNS(*)) FROM counted").df()
    counts = {name: int(value) for name, value in row.iloc[0].items()}
    counts["left_out_sessions"] = (
        counts["session_rows"] - counts["repeated_rows"] - counts["sessions"]
    )
    return counts


def _steps(counts: dict[str, int]) -> pd.DataFrame:
    labels = {
        "session_rows": "session rows fetched in the window",
        "repeated_rows": "dropped: event_key repeated",
        "left_out_sessions": "left out: other videos or excluded domains",
        "sessions": "sessions that count",
        "viewers": "viewers",
        "identified_viewers": "identified viewers (e-mail known)",
        "viewers_without_visitor_row": "viewers without a visitor row",
        "visitors": "visitors of the account",
        "visitors_without_session": "visitors without a session that counts",
    }
    return pd.DataFrame(
        {"rows": [counts[key] for key in labels]}, index=pd.Index(labels.values(), name="step")
    )


def watch_times(run: Run) -> pd.DataFrame:
    """Sessions by weekday and hour of the day in the parameter ``time_zone``.

    Returns
    -------
    DataFrame, index weekday (Mon to Sun), columns hour (0 to 23), values sessions; also written to
    ``data/watch_times.csv`` in long form (weekday, hour, sessions).
    """
    con = connection(run)
    con.gather(
        """
        -- Time zones differ by quarters of an hour.
        SELECT time_bucket(INTERVAL 15 MINUTE, received_at) AS quarter, count(*) AS sessions
        FROM sessions GROUP BY ALL
        """,
        "counted",
    )
    counted = con.execute(
        """
        SELECT isodow(quarter AT TIME ZONE $zone) - 1 AS weekday,
               hour(quarter AT TIME ZONE $zone) AS hour, sum(sessions)::BIGINT AS sessions
        FROM counted GROUP BY ALL
        """,
        {"zone": run.params["time_zone"]},
    ).df()
    table = (
        counted.pivot(index="weekday", columns="hour", values="sessions")
        .reindex(index=range(7), columns=range(24))
        .fillna(0)
        .astype("int64")
    )
    table.index = pd.Index(WEEKDAYS, name="weekday")
    long = table.stack().rename("sessions").reset_index()
    if run.stage == "02_enrich":
        long.to_csv(run.data("watch_times.csv"), index=False)
    return table


def completion(run: Run) -> pd.DataFrame:
    """How much of a video a session sees: sessions by share watched.

    Returns
    -------
    DataFrame, index ``percent_watched`` (text: exactly 0, tenths, exactly 100), column sessions.
    """
    con = connection(run)
    con.gather(
        """
        SELECT CASE WHEN percent_viewed = 0 THEN -1 WHEN percent_viewed = 1 THEN 10
                    ELSE least(floor(percent_viewed * 10), 9)::INT END AS tenth,
               count(*) AS sessions
        FROM sessions GROUP BY ALL
        """,
        "counted",
    )
    counted = (
        con.execute("SELECT tenth, sum(sessions)::BIGINT AS sessions FROM counted GROUP BY 1")
        .df()
        .set_index("tenth")["sessions"]
        .reindex(range(-1, 11), fill_value=0)
    )
    labels = ["0 exactly", *(f"{n * 10}–{n * 10 + 10}" for n in range(10)), "100 exactly"]
    return pd.DataFrame(
        {"sessions": counted.to_numpy("int64")}, index=pd.Index(labels, name="percent_watched")
    )


def videos_per_viewer(run: Run) -> pd.DataFrame:
    """Viewers by number of videos watched: 1, 2, 3, 4, 5–9, 10–49, 50 and more.

    Returns
    -------
    DataFrame, index ``videos`` (text), columns viewers, identified, avg_percent_watched (0–100).
    """
    con = connection(run)
    labels = {1: "1", 2: "2", 3: "3", 4: "4", 5: "5–9", 10: "10–49", 50: "50+"}
    counted = (
        con.execute(
            """
        SELECT CASE WHEN video_count < 5 THEN video_count WHEN video_count < 10 THEN 5
                    WHEN video_count < 50 THEN 10 ELSE 50 END AS videos,
               count(*) AS viewers, count(*) FILTER (identified) AS identified,
               avg(avg_percent_watched) AS avg_percent_watched
        FROM features GROUP BY ALL
        """
        )
        .df()
        .set_index("videos")
        .reindex(labels)
    )
    counted[["viewers", "identified"]] = (
        counted[["viewers", "identified"]].fillna(0).astype("int64")
    )
    counted.index = pd.Index(labels.values(), name="videos")
    return counted


def countries(run: Run, *, most: int = 10) -> pd.DataFrame:
    """Countries with at least ``min_cell`` viewers, most viewers first.

    Returns
    -------
    DataFrame, index country, columns viewers, share (0–1 of all viewers).
    """
    return (
        connection(run)
        .execute(
            """
        SELECT country, count(*) AS viewers,
               count(*) / (SELECT count(*) FROM features) AS share
        FROM features WHERE country IS NOT NULL GROUP BY country
        HAVING count(*) >= $least ORDER BY viewers DESC, country LIMIT $most
        """,
            {"least": run.params["min_cell"], "most": most},
        )
        .df()
        .set_index("country")
    )


def viewers(run: Run) -> pd.DataFrame:
    """The features as a frame: for an account of modest size, and for looking around.

    Returns
    -------
    DataFrame, index visitor_key, one row per viewer, columns as in DESIGN but for cluster.
    """
    run.need("features.parquet", "02_enrich")
    return connection(run).execute("FROM features ORDER BY visitor_key").df().set_index(
        "visitor_key"
    )  # fmt: skip
