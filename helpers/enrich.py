"""Stage 02: what each viewer did, one row per viewer, from the sessions in the window."""

from __future__ import annotations

import pandas as pd

from helpers.core.parameters import bare_domain
from helpers.findings.counts import publish, publish_counts
from helpers.run import Run

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOST_COUNTRIES = 10
VIDEO_GROUPS = {1: "1", 2: "2", 3: "3", 4: "4", 5: "5–9", 10: "10–49", 50: "50+"}


def features(run: Run) -> pd.DataFrame:
    """Write ``data/features.parquet``: one row of behaviour per viewer; what came of the sessions.

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
    run.forget_tables()
    with run.replace("features.parquet") as path:
        run.engine.write_features(path)
    for table in ("features", "viewers"):  # viewers until stage 03 gives them clusters
        run.engine.show(table, run.data("features.parquet"))
    counts = _count_rows(run)
    run.record(
        counts={name: count for name, count in counts.items() if name != "repeated_rows"},
        repeated_rows=counts["repeated_rows"],
        unmatched=_find_unmatched(run),
    )
    return _steps(counts, run.params.min_cell)


def viewers(run: Run) -> pd.DataFrame:
    """One row per viewer: what each did in the window.

    Returns
    -------
    DataFrame, index visitor_key
        name, email (missing where not known), identified, location, country, video_count [videos],
        session_count [sessions], avg_percent_watched and avg_session_percent [percent, 0 to 100],
        minutes_watched [minutes; missing where no length is known], total_visits [visits],
        active_days [days], first_seen and last_active [UTC], top_video [media_id] and top_title.

    Examples
    --------
    >>> enrich.viewers(run).query("video_count >= 3")["avg_percent_watched"].describe()
    """
    run.need("features.parquet", "02_enrich")
    return with_titles(run, run.engine.query("FROM features ORDER BY visitor_key"))


def with_titles(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of viewers by visitor_key, with the title of each viewer's top video."""
    titles = run.engine.query("SELECT media_id, title FROM titles").set_index("media_id")["title"]
    place = frame.columns.get_loc("top_video") + 1
    frame.insert(place, "top_title", frame["top_video"].map(titles))
    return frame.set_index("visitor_key")


def sessions(run: Run) -> pd.DataFrame:
    """The sessions that count: in the window, after the choice of videos and domains.

    Returns
    -------
    DataFrame, one row per event_key
        event_key, visitor_key, media_id, title, received_at [UTC], percent_viewed [share, 0 to 1],
        email, country, region, city, page, utm_source, utm_medium, utm_campaign, conversion_type.
    """
    return run.engine.query(
        """
        SELECT event_key, visitor_key, media_id, title, received_at, percent_viewed, email,
               country, region, city, page, utm_source, utm_medium, utm_campaign, conversion_type
        FROM sessions LEFT JOIN titles USING (media_id) ORDER BY received_at, event_key
        """
    )


def _find_unmatched(run: Run) -> dict[str, list[str]]:
    """Videos and e-mail domains of the parameters that no session and no viewer has."""
    media_ids, domains = run.params.media_ids, run.params.exclude_domains
    if not media_ids and not domains:  # most often: nothing is read for nothing
        return {"media_ids": [], "exclude_domains": []}
    found = run.engine.counts(
        """
        SELECT DISTINCT 'media_ids' AS name, media_id AS value FROM all_sessions
        WHERE list_contains(getvariable('media_ids'), media_id)
        UNION ALL
        SELECT DISTINCT 'exclude_domains', lower(split_part(email, '@', -1)) FROM viewer_emails
        WHERE list_contains(getvariable('exclude_domains'), lower(split_part(email, '@', -1)))
        """
    )
    matched = set(found.itertuples(index=False, name=None))
    return {
        "media_ids": [media for media in media_ids if ("media_ids", media) not in matched],
        "exclude_domains": [
            domain for domain in domains if ("exclude_domains", bare_domain(domain)) not in matched
        ],
    }


def _count_rows(run: Run) -> dict[str, int]:
    in_window = "day BETWEEN getvariable('window_start') AND getvariable('window_end')"
    rows = run.engine.query(
        f"""
        SELECT (SELECT count(*) FROM stored_sessions WHERE {in_window}) AS session_rows,
               (SELECT count(*) FROM dropped_rows WHERE {in_window}) AS repeated_rows
        """
    )
    viewers = run.engine.query(
        """
        SELECT (SELECT coalesce(sum(session_count), 0)::BIGINT FROM features) AS sessions,
               (SELECT count(*) FROM features) AS viewers,
               (SELECT count(*) FROM features WHERE identified) AS identified_viewers,
               (SELECT count(*) FROM visitors) AS visitors,
               (SELECT count(*) FROM features ANTI JOIN visitors USING (visitor_key))
                   AS viewers_without_visitor_row,
               (SELECT count(*) FROM visitors ANTI JOIN features USING (visitor_key))
                   AS visitors_without_session
        """
    )
    counts = {name: int(n) for table in (rows, viewers) for name, n in table.iloc[0].items()}
    counts["left_out_sessions"] = (
        counts["session_rows"] - counts["repeated_rows"] - counts["sessions"]
    )
    return counts


def _steps(counts: dict[str, int], min_cell: int) -> pd.DataFrame:
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
    of = {"viewers_without_visitor_row": "viewers", "visitors_without_session": "visitors"}
    rows = [
        publish(counts[name], of=counts[of[name]], min_cell=min_cell)
        if name in of
        else counts[name]
        for name in labels
    ]
    index = pd.Index(labels.values(), name="step")
    return pd.DataFrame({"rows": pd.array(rows, dtype="Int64")}, index=index)


def watch_times(run: Run) -> pd.DataFrame:
    """Viewers by weekday and hour of the day in the parameter ``time_zone``.

    Returns
    -------
    DataFrame, index weekday (Mon to Sun), columns hour (0 to 23): viewers [published counts];
    a viewer counts once in an hour of the week.
    """
    counted = run.engine.counts(
        """
        SELECT strftime(received_at AT TIME ZONE $zone, '%a') AS weekday,
               strftime(received_at AT TIME ZONE $zone, '%H') AS hour,
               count(DISTINCT visitor_key) AS viewers
        FROM sessions GROUP BY ALL
        """,
        {"zone": run.params.time_zone},
    )
    total = int(
        run.engine.query("SELECT count(DISTINCT visitor_key) AS viewers FROM sessions")["viewers"][
            0
        ]
    )
    counted["viewers"] = publish_counts(counted["viewers"], total, run.params.min_cell)
    counted["hour"] = counted["hour"].astype(int)
    grid = counted.pivot(index="weekday", columns="hour", values="viewers")
    return grid.reindex(index=WEEKDAYS, columns=range(24))


def completion(run: Run) -> pd.DataFrame:
    """How much of a video a session sees: sessions by share watched.

    Returns
    -------
    DataFrame, index ``percent_watched`` (text: exactly 0, tenths, exactly 100)
        sessions [published counts].
    """
    counted = run.engine.counts(
        """
        SELECT CASE WHEN percent_viewed = 0 THEN '-1' WHEN percent_viewed = 1 THEN '10'
                    ELSE least(floor(percent_viewed * 10), 9)::INT::VARCHAR END AS tenth,
               count(*) AS sessions
        FROM sessions GROUP BY ALL
        """
    ).set_index("tenth")["sessions"]
    counted = counted.reindex([str(n) for n in range(-1, 11)], fill_value=0)
    labels = ["0 exactly", *(f"{n * 10}–{n * 10 + 10}" for n in range(10)), "100 exactly"]
    shown = publish_counts(counted, int(counted.sum()), run.params.min_cell)
    return pd.DataFrame(
        {"sessions": shown.to_numpy()}, index=pd.Index(labels, name="percent_watched")
    )


def videos_per_viewer(run: Run) -> pd.DataFrame:
    """Viewers by number of videos watched: 1, 2, 3, 4, 5–9, 10–49, 50 and more.

    Returns
    -------
    DataFrame, index ``videos`` (text)
        viewers, identified [published counts], avg_percent_watched [whole percent].
    """
    whens = " ".join(f"WHEN video_count >= {n} THEN {n}" for n in sorted(VIDEO_GROUPS)[::-1])
    counted = run.engine.query(
        f"""
        SELECT CASE {whens} END AS videos, count(*) AS viewers,
               count(*) FILTER (identified) AS identified,
               round(avg(avg_percent_watched)) AS avg_percent_watched
        FROM features GROUP BY ALL
        """
    ).set_index("videos")
    counted = counted.reindex(VIDEO_GROUPS).fillna({"viewers": 0, "identified": 0})
    total, least = int(counted["viewers"].sum()), run.params.min_cell
    shown = publish_counts(counted["viewers"], total, least)
    identified = publish_counts(counted["identified"], counted["viewers"], least)
    counted = counted.assign(
        viewers=shown,
        identified=identified.mask(shown.isna()),
        avg_percent_watched=counted["avg_percent_watched"].where(counted["viewers"] >= least),
    )
    counted.index = pd.Index(VIDEO_GROUPS.values(), name="videos")
    return counted


def countries(run: Run) -> pd.DataFrame:
    """Countries with at least ``min_cell`` viewers, most viewers first, ten at most.

    Returns
    -------
    DataFrame, index country: viewers [published count], share [0 to 1 of all viewers].
    """
    counted = run.engine.query(
        "SELECT country, count(*) AS viewers FROM features GROUP BY country ORDER BY 2 DESC, 1"
    )
    total = int(counted["viewers"].sum())
    counted["viewers"] = publish_counts(counted["viewers"], total, run.params.min_cell)
    counted = counted.dropna().head(MOST_COUNTRIES).set_index("country")
    return counted.assign(share=counted["viewers"] / total)
