"""Stage 02: what each viewer did, one row per viewer, from the sessions in the window."""

import pandas as pd

from helpers.core.parameters import CHOOSES
from helpers.findings.counts import publish_counts, publish_parts
from helpers.run import Run
from helpers.store import engine

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TENTHS = ["0 exactly", *(f"{n}–{n + 10}" for n in range(0, 100, 10)), "100 exactly"]
VIDEO_GROUPS = ("1", "2", "3", "4", "5–9", "10–49", "50+")
MOST_COUNTRIES = 10


def features(run: Run) -> pd.DataFrame:
    """Write ``data/features.parquet``: one row of behaviour per viewer; what came of the sessions.

    Parameters
    ----------
    run : Run
        Reads the account's store: sessions of the window, visitors.

    Returns
    -------
    DataFrame, one row per step, index ``step``: ``rows``
        Repeated rows dropped, sessions that count, viewers, identified viewers, visitors.

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
    steps = run.engine.query(engine.sql("steps"))
    counts = dict(zip(steps["name"], map(int, steps["rows"]), strict=True))
    repeated = counts.pop("repeated_rows")
    run.record(repeated_rows=repeated, counts=counts, unmatched=_find_unmatched(run))
    steps = steps.dropna(subset="step")
    whole = steps["whole"].fillna(steps["rows"])
    shown = publish_counts(steps["rows"], whole, run.params.min_cell)
    rows = shown.where(steps["whole"].notna(), steps["rows"])
    return pd.DataFrame({"rows": rows.array}, pd.Index(steps["step"]))


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
    return run.engine.query(engine.sql("session_frame"))


def _find_unmatched(run: Run) -> dict[str, list[str]]:
    """Videos and e-mail domains of the parameters that no session and no viewer has."""
    chosen = {name: getattr(run.params, name) for name in CHOOSES}
    if not any(chosen.values()):  # most often: nothing is read for that
        return chosen
    found = set(run.engine.counts(engine.sql("matched"))[["name", "value"]].itertuples(index=False))
    return {
        name: [value for value in dict.fromkeys(values) if (name, value) not in found]
        for name, values in chosen.items()
    }


def watch_times(run: Run) -> pd.DataFrame:
    """Viewers by weekday and hour of the day in the parameter ``time_zone``.

    Returns
    -------
    DataFrame, index weekday (Mon to Sun), columns hour (0 to 23): viewers [published counts];
    a viewer counts once in an hour of the week.
    """
    counted = run.engine.counts(engine.sql("watch_times"), {"zone": run.params.time_zone})
    total = run.engine.counts("SELECT count(DISTINCT hash(visitor_key)) AS n FROM plays").at[0, "n"]
    counted["viewers"] = publish_counts(counted["viewers"], int(total), run.params.min_cell)
    grid = counted.astype({"hour": int}).pivot(index="weekday", columns="hour", values="viewers")
    return grid.reindex(index=WEEKDAYS, columns=range(24))


def completion(run: Run) -> pd.DataFrame:
    """How much of a video a session sees: sessions by share watched.

    Returns
    -------
    DataFrame, index ``percent_watched`` (text: exactly 0, tenths, exactly 100)
        sessions [published counts], share [0 to 1 of all sessions].
    """
    counted = run.engine.counts(engine.sql("completion")).set_index("percent_watched")["sessions"]
    counted = counted.reindex(TENTHS, fill_value=0)
    shown = publish_parts(counted, int(counted.sum()), run.params.min_cell)
    return shown.to_frame().assign(share=shown / counted.sum())


def videos_per_viewer(run: Run) -> pd.DataFrame:
    """Viewers by number of videos watched: 1, 2, 3, 4, 5–9, 10–49, 50 and more.

    Returns
    -------
    DataFrame, index ``videos`` (text)
        viewers, identified [published counts; no column where all are hidden],
        avg_percent_watched [whole percent]; what is hidden of viewers, or 0, has no row.
    """
    counted = run.engine.query(engine.sql("videos_per_viewer")).set_index("videos")
    counted = counted.reindex(VIDEO_GROUPS).fillna({"viewers": 0, "identified": 0})
    whole, least = counted["viewers"], run.params.min_cell
    shown = publish_counts(whole, int(whole.sum()), least)
    listed = shown.fillna(0) > 0
    identified = publish_parts(counted["identified"], whole, least, known=False, listed=listed)
    table = counted.assign(viewers=shown, identified=identified)[listed]
    return table if table["identified"].notna().any() else table.drop(columns="identified")


def countries(run: Run) -> pd.DataFrame:
    """Countries with at least ``min_cell`` viewers, most viewers first, ten at most.

    Returns
    -------
    DataFrame, index country: viewers [published count], share [0 to 1 of all viewers].
    """
    query = "SELECT country, count(*) AS viewers FROM features GROUP BY 1 ORDER BY 2 DESC, 1"
    counted = run.engine.query(query).set_index("country")["viewers"]
    shown = publish_counts(counted, counted.sum(), run.params.min_cell)
    shown = shown[shown.index.notna()].dropna().head(MOST_COUNTRIES)
    return shown.to_frame().assign(share=shown / counted.sum())
