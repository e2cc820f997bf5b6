"""Features, clusters and affinity at size, five ways in one run, and whole notebooks 02 and 03.

Usage: ``python benchmarks/scale.py [sessions …] [--keep DIR]``, with the extra ``benchmarks``; 1,
10 and 50 million unless said otherwise. Makes sessions (heavy-tailed, a fifth as many viewers,
string keys as long as Wistia's) in the store's layout and as one file sorted by viewer, runs each
job in a process of its own, and prints seconds, seconds of all cores, peak memory of the largest
process and whether the results are equal. Over 10 million pandas and polars are left out, and the
kit has a limit of 2.5 GB. Of the job on two Dask workers, memory is that of the process that asks
and of both workers, and core seconds are those of the former.
"""

import argparse
import calendar
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

CLUSTERS = ("binge_watchers", "engaged_explorers", "bouncers", "skimmers", "casual_viewers")
START, END = date(2024, 7, 1), date(2026, 6, 30)
MOST_IN_MEMORY = 10_000_000
KEYS = {
    "WISTIA_API_TOKEN": "benchmark",
    "MAVERA_API_KEY": "benchmark",
    "VIEWER_PERSONAS_ENV_FILE": os.devnull,
}


def make(folder: Path, sessions: int) -> Path:
    """A store with so many sessions, and ``single.parquet``; the same rows at every call."""
    from helpers.store import duck
    from helpers.store.schema import SESSIONS
    from helpers.store.store import Store

    outputs = folder / f"{sessions}"
    if (outputs / "single.parquet").exists():
        return outputs
    store, viewers = Store(outputs / "store" / "live"), sessions // 5
    store.open("https://api.wistia.com")
    con = duck.connect("4GB", folder / "spill")
    # One month at a time, so that making the rows needs no more memory than reading them.
    for part in range(24):
        year, month = divmod(START.month - 1 + part, 12)
        first = date(START.year + year, month + 1, 1)
        days = calendar.monthrange(first.year, first.month)[1]
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE of_month AS
            WITH base AS (
                SELECT i, hash(i, 4) AS h4, (hash(i, 5) % 1000000) / 1e6 AS u,
                    (hash(i, 6) % 100000) / 1e5 AS m, hash(i, 7) AS h7,
                    CASE WHEN hash(i, 1) % 100 < 45 THEN hash(i, 2) % {viewers}
                         ELSE floor({viewers} * pow((hash(i, 3) % 1000000) / 1e6, 6))::UBIGINT
                    END AS viewer
                FROM range({sessions}) rows(i) WHERE i % 24 = {part}
            )
            SELECT
                '1733874_' || md5((i - (h4 % 200 = 0)::INT * 24)::VARCHAR) || '-961a2-c223-281c'
                    AS event_key,
                '1733874_' || md5('v' || viewer) || '-a9a0b209b-4bfb0b934b90' AS visitor_key,
                substr(md5('m' || floor(m * m * 200)::INT), 1, 10) AS media_id,
                TIMESTAMPTZ '{first} 00:00:00+00'
                    + to_seconds((h7 % ({days} * 86400))::BIGINT) AS received_at,
                CASE WHEN u < 0.036 THEN 0 WHEN u > 0.79 THEN 1 ELSE (u - 0.036) / 0.754 END
                    AS percent_viewed,
                'Video ' || floor(m * m * 200)::INT AS media_name,
                CASE WHEN viewer % 4 = 0 AND h4 % 3 = 0 THEN 'p' || viewer || '@example.com' END
                    AS email,
                CASE WHEN h4 % 50 > 0 THEN ['US', 'DE', 'FR', 'GB'][(1 + h4 % 4)::INT] END
                    AS country,
                CASE WHEN h4 % 40 > 0 THEN 'Region ' || h4 % 60 END AS region,
                CASE WHEN h4 % 22 > 0 THEN 'City ' || h4 % 3000 END AS city,
                NULL::VARCHAR AS org, 'example.com/page' || h4 % 40 AS page,
                NULL::VARCHAR AS utm_source, NULL::VARCHAR AS utm_medium,
                NULL::VARCHAR AS utm_campaign, NULL::VARCHAR AS conversion_type, true AS mobile
            FROM base
            """
        )
        for number in range(days):
            day = first.replace(day=number + 1)
            query = f"SELECT {', '.join(SESSIONS.names)} FROM of_month WHERE received_at::DATE = ?"
            table = con.sql(query, params=[day]).to_arrow_table()
            store.sessions.write(day, table, read_at="2026-07-05T00:00:00+00:00")
    store.settle(date.max)
    con.execute(
        f"""
        COPY (SELECT '1733874_' || md5('v' || viewer) || '-a9a0b209b-4bfb0b934b90' AS visitor_key,
            CASE WHEN viewer % 10 = 0 THEN 'Name ' || viewer END AS name,
            CASE WHEN viewer % 5 = 0 THEN 'q' || viewer || '@example.com' END AS email
        FROM range({viewers}) rows(viewer)) TO {duck.quoted(store.visitors_path)}
        (FORMAT parquet, COMPRESSION zstd)
        """
    )
    con.execute(
        f"COPY (SELECT * EXCLUDE (day, row) FROM ({store.sessions.sql()}) ORDER BY visitor_key) "
        f"TO {duck.quoted(outputs / 'single.parquet')} (FORMAT parquet, COMPRESSION zstd)"
    )
    return outputs


def with_pandas(outputs: Path) -> dict:
    """The same job as an analyst writes it in plain pandas."""
    import pandas as pd
    import pyarrow.dataset as ds

    home = outputs / "store" / "live"
    columns = [
        "event_key", "visitor_key", "media_id", "received_at", "percent_viewed", "email", "city",
        "region", "country",
    ]  # fmt: skip
    files = sorted(str(path) for path in (home / "sessions").glob("*.parquet"))
    rows = ds.dataset(files).to_table(columns=columns).to_pandas()
    visitors = pd.read_parquet(home / "visitors.parquet", columns=["visitor_key", "name", "email"])
    rows = rows.sort_values(
        ["percent_viewed", "received_at", "visitor_key", "media_id"],
        ascending=[False, True, True, True],
    ).drop_duplicates("event_key")
    rows["percent"] = rows["percent_viewed"] * 100
    videos = rows.groupby(["visitor_key", "media_id"], sort=False)["percent"].max().reset_index()
    table = videos.groupby("visitor_key")["percent"].agg(["size", "mean"])
    table.columns = ["video_count", "avg_percent_watched"]
    rows = rows.sort_values(["visitor_key", "received_at"])
    gap = rows.groupby("visitor_key", sort=False)["received_at"].diff()
    rows["visit"] = gap.isna() | (gap >= pd.Timedelta(minutes=30))
    rows["day"] = rows["received_at"].dt.floor("D")
    by_viewer = rows.groupby("visitor_key", sort=False)
    table["session_count"] = by_viewer.size()
    table["total_visits"] = by_viewer["visit"].sum()
    table["active_days"] = by_viewer["day"].nunique()
    table["last_active"] = by_viewer["received_at"].last()
    placed = rows.dropna(subset=["city", "region", "country"], how="all")
    newest = placed.groupby("visitor_key", sort=False).tail(1).set_index("visitor_key")
    table = table.join(newest[["city", "region", "country"]])
    typed = rows[rows["email"].notna()].groupby("visitor_key")["email"].last()
    known = visitors.dropna(subset=["email"]).set_index("visitor_key")["email"]
    table["identified"] = table.index.isin(known.index) | table.index.isin(typed.index)
    videos_seen, percent = table["video_count"], table["avg_percent_watched"]
    table["cluster"] = "casual_viewers"
    for name, rule in (
        ("skimmers", (videos_seen >= 2) & (percent < 50)),
        ("bouncers", (videos_seen == 1) & (percent < 30)),
        ("engaged_explorers", (videos_seen >= 3) & (percent >= 50)),
        ("binge_watchers", (videos_seen >= 5) & (percent >= 75)),
    ):
        table.loc[rule, "cluster"] = name
    videos["cluster"] = videos["visitor_key"].map(table["cluster"])
    reach = videos.groupby(["cluster", "media_id"]).size()
    summary = table.groupby("cluster").agg(
        viewers=("video_count", "size"), videos=("video_count", "sum"),
        visits=("total_visits", "sum"), identified=("identified", "sum"),
        percent=("avg_percent_watched", "mean"),
    )  # fmt: skip
    return answer(summary, len(reach), int(reach.sum()), int(table["active_days"].sum()))


def with_polars(outputs: Path) -> dict:
    """The same job in polars, lazy, by its streaming engine."""
    import polars as pl

    home = outputs / "store" / "live"
    rows = pl.scan_parquet(str(home / "sessions" / "*.parquet")).sort(
        ["percent_viewed", "received_at", "visitor_key", "media_id"],
        descending=[True, False, False, False],
    )
    rows = rows.unique("event_key", keep="first", maintain_order=True)
    visitors = pl.scan_parquet(home / "visitors.parquet").filter(pl.col("email").is_not_null())
    by_video = rows.group_by("visitor_key", "media_id").agg(pl.max("percent_viewed") * 100)
    watched = by_video.group_by("visitor_key").agg(
        video_count=pl.len(), percent=pl.mean("percent_viewed")
    )
    moment, place = pl.col("received_at"), pl.struct("city", "region", "country")
    has_place = pl.any_horizontal(pl.col("city", "region", "country").is_not_null())
    behaviour = rows.group_by("visitor_key").agg(
        session_count=pl.len(),
        total_visits=1 + (moment.sort().diff() >= pl.duration(minutes=30)).sum(),
        active_days=moment.dt.date().n_unique(),
        last_active=moment.max(),
        place=place.filter(has_place).sort_by(moment.filter(has_place)).last(),
        typed=pl.col("email").is_not_null().any(),
    )
    known = visitors.select("visitor_key", listed=pl.lit(True))
    videos, percent = pl.col("video_count"), pl.col("percent")
    table = (
        behaviour.join(watched, on="visitor_key")
        .join(known, on="visitor_key", how="left")
        .with_columns(
            identified=pl.col("typed") | pl.col("listed").fill_null(False),
            cluster=pl.when((videos >= 5) & (percent >= 75))
            .then(pl.lit("binge_watchers"))
            .when((videos >= 3) & (percent >= 50))
            .then(pl.lit("engaged_explorers"))
            .when((videos == 1) & (percent < 30))
            .then(pl.lit("bouncers"))
            .when((videos >= 2) & (percent < 50))
            .then(pl.lit("skimmers"))
            .otherwise(pl.lit("casual_viewers")),
        )
        .collect(engine="streaming")
    )
    named = by_video.join(table.lazy().select("visitor_key", "cluster"), on="visitor_key")
    reach = named.group_by("cluster", "media_id").len().collect(engine="streaming")
    summary = table.group_by("cluster").agg(
        viewers=pl.len(),
        videos=pl.sum("video_count"),
        visits=pl.sum("total_visits"),
        identified=pl.sum("identified"),
        percent=pl.mean("percent"),
    )
    summary = summary.to_pandas(use_pyarrow_extension_array=False).set_index("cluster")
    return answer(summary, len(reach), int(reach["len"].sum()), int(table["active_days"].sum()))


SUMMARY = """
    SELECT cluster, count(*) AS viewers, sum(video_count)::BIGINT AS videos,
        sum(total_visits)::BIGINT AS visits, count(*) FILTER (identified) AS identified,
        favg(avg_percent_watched) AS percent, sum(active_days)::BIGINT AS days
    FROM viewers GROUP BY cluster
"""


def with_duckdb(outputs: Path) -> dict:
    """The kit's SQL by DuckDB alone, over one file sorted by viewer."""
    from helpers.core.parameters import Window
    from helpers.store import duck, engine, rules
    from helpers.store.schema import MEDIAS, VISITORS

    con = duck.connect(None, outputs / ".spill")
    rows = f"read_parquet({duck.quoted(outputs / 'single.parquet')}, file_row_number = true)"
    day = "make_timestamp(epoch_us(received_at))::DATE AS day, file_row_number AS row"
    visitors = duck.rows(VISITORS, [outputs / "store" / "live" / "visitors.parquet"])
    con.execute(f"CREATE TEMP VIEW stored_sessions AS SELECT *, {day} FROM {rows}")
    con.execute(f"CREATE TEMP VIEW visitors AS {visitors}")
    con.execute(f"CREATE TEMP VIEW medias AS {duck.rows(MEDIAS, [])}")
    window = Window(start=START, end=END, as_of=date(2026, 7, 1))
    con.execute(engine.sql("repeats") + engine.Selection(None, window).statements)
    con.execute(engine.features_sql())
    con.execute("CREATE TEMP TABLE features AS FROM new_features")
    viewers = engine.sql("assign_clusters").format(rules=rules.load().case_sql())
    con.execute(f"CREATE TEMP TABLE viewers AS {viewers}")
    reach = con.sql(
        "SELECT cluster, media_id, count(*) AS n FROM new_plays JOIN viewers USING (visitor_key) "
        "GROUP BY ALL"
    ).df()
    summary = con.sql(SUMMARY).df().set_index("cluster")
    return answer(summary, len(reach), int(reach["n"].sum()), int(summary["days"].sum()))


def with_kit(outputs: Path) -> dict:
    """The stages' own functions over the same store."""
    from helpers import cluster, enrich
    from helpers.run import Run

    shutil.rmtree(outputs / "dev", ignore_errors=True)
    shutil.rmtree(outputs / "store" / "live" / ".shards", ignore_errors=True)
    # The window stands in run.json, where 01_fetch would have put it.
    Run.open("01_fetch", start_date=f"{START}", end_date=f"{END}")
    enrich.features(Run.open("02_enrich"))
    run = Run.open("03_cluster", min_cell=1)
    cluster.assign(run)
    reach = run.engine.counts(
        "SELECT cluster, media_id, count(*) AS n FROM plays JOIN viewers USING (visitor_key) "
        "GROUP BY ALL"
    )
    cluster.content(run)
    summary = run.sql(SUMMARY).set_index("cluster")
    return answer(summary, len(reach), int(reach["n"].sum()), int(summary["days"].sum()))


def by_papermill(outputs: Path) -> dict:
    """Notebooks 02 and 03 whole, all findings and figures, as the command runs them."""
    from helpers.run import Run

    shutil.rmtree(outputs / "store" / "live" / ".shards", ignore_errors=True)
    shutil.rmtree(outputs / "2026-08-01", ignore_errors=True)
    (outputs / "2026-08-01").mkdir()
    window = {"start_date": f"{START}", "end_date": f"{END}"}
    Run.open("01_fetch", "2026-08-01", run_date="2026-08-01", **window).done()
    command = [sys.executable, "-m", "helpers", "run", "--outputs", str(outputs), "--quiet"]
    command += ["--resume", "2026-08-01", "--stages", "2-3"]
    subprocess.run(command, check=True, cwd=Path(__file__).parent.parent)
    manifest = json.loads((outputs / "2026-08-01" / "run.json").read_text("utf-8"))
    stages = manifest["stages"]
    return {name: round(stages[name]["seconds"], 1) for name in ("02_enrich", "03_cluster")}


JOBS = {
    "pandas": with_pandas,
    "polars, lazy and streaming": with_polars,
    "DuckDB over one sorted file": with_duckdb,
    "kit": with_kit,
    "notebooks 02 and 03 by papermill": by_papermill,
}


def answer(summary, cells: int, seen: int, days: int) -> dict:
    """What all jobs must agree on."""
    rows = summary.reindex(CLUSTERS).fillna(0)
    counts = rows[["viewers", "videos", "visits", "identified"]].astype(int).to_numpy().tolist()
    percent = [round(value, 6) for value in rows["percent"]]
    return {"counts": counts, "percent": percent, "cells": cells, "seen": seen, "days": days}


def timed(job: str, outputs: Path, **environment: str) -> dict:
    """Run one job in a process of its own."""
    command = [sys.executable, __file__, "--job", job, "--keep", str(outputs)]
    environment = os.environ | KEYS | {"VIEWER_PERSONAS_OUTPUTS": str(outputs)} | environment
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout.splitlines()[-1])


def on_cluster(outputs: Path) -> dict:
    """The kit's job on two Dask workers, the splitting of the store included."""
    import psutil

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"
        common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
        dask, quiet = [sys.executable, "-m", "dask"], {"stderr": subprocess.DEVNULL}
        own = ["--nthreads", "1", "--memory-limit", "4GB", "--local-directory", folder]
        processes = [
            subprocess.Popen([*dask, "scheduler", *common, "--port", "0"], **quiet),
            *(subprocess.Popen([*dask, "worker", *common, *own], **quiet) for _ in range(2)),
        ]
        try:
            while not file.exists():
                time.sleep(0.1)
            time.sleep(5)
            address = json.loads(file.read_text())["address"]
            found = timed("kit", outputs, VIEWER_PERSONAS_DASK=address)
            for nanny in processes[1:]:
                for worker in psutil.Process(nanny.pid).children():
                    status = Path(f"/proc/{worker.pid}/status").read_text()
                    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1e6
                    found["gb"] = found.get("gb", 0) + peak
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait()
    return found


def say(count: int, job: str, found: dict, pandas: dict, duckdb: dict) -> None:
    """One row of the table."""
    if "failed" in found:
        print(f"| {count:,} | {job} | failed: {found['failed']} | | | | | | |", flush=True)
        return
    against = ((pandas, "cores"), (pandas, "gb"), (duckdb, "cores"))
    ratios = [f"{found[of] / other[of]:.2f}" if other else "" for other, of in against]
    is_equal = {True: "yes", False: "NO"}[found["result"] == duckdb["result"]]
    note = found["result"] if job.startswith("notebooks") else is_equal
    measured = [f"{found['seconds']:.1f}", f"{found['cores']:.1f}", f"{found['gb']:.2f}"]
    cells = [f"{count:,}", job, *measured, *ratios, note]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = [1_000_000, 10_000_000, 50_000_000]
    parser.add_argument("sessions", nargs="*", type=int, default=default)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--job")
    options = parser.parse_args()
    if options.job == "make":
        make(options.keep, *options.sessions)
        return
    if options.job:
        began = time.monotonic()
        result = JOBS[options.job](options.keep)
        whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        usage = [resource.getrusage(who) for who in whose]
        found = {"seconds": time.monotonic() - began, "result": result}
        found["cores"] = sum(used.ru_utime + used.ru_stime for used in usage)
        print(json.dumps(found | {"gb": max(used.ru_maxrss for used in usage) / 1e6}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        print("| sessions | job | seconds | core seconds | peak GB", end=" | ")
        print("of pandas' core seconds | of its memory | of DuckDB's core seconds | equal |")
        print("|--:|---|--:|--:|--:|--:|--:|--:|---|")
        folder = options.keep or Path(temporary)
        for count in options.sessions:
            # In a process of its own: a child's peak memory is never below its parent's.
            words = ["--job", "make", "--keep", str(folder), str(count)]
            subprocess.run([sys.executable, __file__, *words], check=True)
            measure(folder / f"{count}", count)


def measure(outputs: Path, count: int) -> None:
    """All jobs over so many sessions, one after the other."""
    is_small = count <= MOST_IN_MEMORY
    limit = {} if is_small else {"VIEWER_PERSONAS_MEMORY_LIMIT": "2500MB"}
    duckdb = timed("DuckDB over one sorted file", outputs)
    pandas = timed("pandas", outputs) if is_small else {}
    for job in JOBS:
        if is_small or job not in ("pandas", "polars, lazy and streaming"):
            first = {"pandas": pandas, "DuckDB over one sorted file": duckdb}
            found = first.get(job) or timed(job, outputs, **limit)
            say(count, job, found, pandas, duckdb)
    say(count, "kit, two Dask workers", on_cluster(outputs), pandas, duckdb)


if __name__ == "__main__":
    main()
