"""Enrich, cluster, summary and affinity at size: plain pandas and the kit, in one run.

Usage: ``python benchmarks/scale.py [sessions …] [--spill] [--cluster] [--keep DIR]``; 1 and 10
million unless said otherwise. Makes sessions (heavy-tailed, a fifth as many viewers, string keys as
long as Wistia's) as Parquet in the store's layout, runs each job in a process of its own, and
prints seconds, peak memory and whether the results are equal. ``--spill`` adds 50 million within
4 GB for the kit alone, ``--cluster`` a Dask scheduler with two workers on the same two cores; its
memory is that of the process that asks and of both workers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLUSTERS = ("binge_watchers", "engaged_explorers", "bouncers", "skimmers", "casual_viewers")


def make(folder: Path, sessions: int) -> Path:
    """A store with so many sessions; the same rows at every call."""
    import duckdb

    home = folder / f"{sessions}" / "store" / "live"
    if (home / "store.json").exists():
        return folder / f"{sessions}"
    home.mkdir(parents=True)
    viewers = sessions // 5
    con = duckdb.connect()
    con.execute("SET threads = 2; SET memory_limit = '4GB'; SET preserve_insertion_order = false")
    con.execute(f"SET temp_directory = '{folder / 'spill'}'; SET TimeZone = 'UTC'")
    # One month at a time, so that making the rows needs no more memory than reading them.
    for part in range(24):
        con.execute(
            f"""
            COPY (
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
                    'Video ' || floor(m * m * 200)::INT AS media_name,
                    TIMESTAMPTZ '2024-07-01 00:00:00+00'
                        + to_seconds(({part} * 2628000 + h7 % 2628000)::BIGINT) AS received_at,
                    CASE WHEN u < 0.036 THEN 0 WHEN u > 0.79 THEN 1 ELSE (u - 0.036) / 0.754 END
                        AS percent_viewed,
                    CASE WHEN viewer % 4 = 0 AND h4 % 3 = 0 THEN 'p' || viewer || '@example.com' END
                        AS email,
                    CASE WHEN h4 % 50 > 0 THEN ['US', 'DE', 'FR', 'GB'][(1 + h4 % 4)::INT] END
                        AS country,
                    CASE WHEN h4 % 40 > 0 THEN 'Region ' || h4 % 60 END AS region,
                    CASE WHEN h4 % 22 > 0 THEN 'City ' || h4 % 3000 END AS city,
                    NULL::VARCHAR AS org, 'example.com/page' || h4 % 40 AS page,
                    NULL::VARCHAR AS utm_source, NULL::VARCHAR AS utm_medium,
                    NULL::VARCHAR AS utm_campaign, NULL::VARCHAR AS utm_term,
                    NULL::VARCHAR AS utm_content, NULL::VARCHAR AS conversion_type,
                    'Chrome' AS browser, 'iOS' AS platform, true AS mobile,
                    received_at::DATE AS day
                FROM base
            ) TO '{home / "sessions"}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day),
                OVERWRITE_OR_IGNORE, FILENAME_PATTERN 'part-{part:03}-{{i}}')
            """
        )
    con.execute(
        f"""
        COPY (SELECT '1733874_' || md5('v' || viewer) || '-a9a0b209b-4bfb0b934b90' AS visitor_key,
            NULL::TIMESTAMPTZ AS created_at, NULL::TIMESTAMPTZ AS last_active_at,
            1::BIGINT AS load_count, 1::BIGINT AS play_count,
            CASE WHEN viewer % 10 = 0 THEN 'Name ' || viewer END AS name,
            CASE WHEN viewer % 5 = 0 THEN 'q' || viewer || '@example.com' END AS email,
            NULL::VARCHAR AS org_name, NULL::VARCHAR AS org_title, NULL::VARCHAR AS browser,
            NULL::VARCHAR AS platform, NULL::BOOLEAN AS mobile
        FROM range({viewers}) rows(viewer)) TO '{home / "visitors.parquet"}'
        (FORMAT parquet, COMPRESSION zstd)
        """
    )
    for day in (home / "sessions").iterdir():
        rows = con.execute(f"SELECT count(*) FROM '{day}/*.parquet'").fetchone()[0]
        facts = {"rows": rows, "read_at": "2026-07-05T00:00:00+00:00", "pass": "made"}
        (day / "day.json").write_text(json.dumps(facts))
    address = {"schema_version": 1, "wistia": "https://api.wistia.com"}
    (home / "store.json").write_text(json.dumps(address))
    return folder / f"{sessions}"


def with_pandas(outputs: Path) -> dict:
    """The same job as an analyst writes it in plain pandas."""
    import pandas as pd
    import pyarrow.dataset as ds

    home = outputs / "store" / "live"
    columns = [
        "event_key", "visitor_key", "media_id", "received_at", "percent_viewed", "email", "city",
        "region", "country",
    ]  # fmt: skip
    files = sorted(str(path) for path in (home / "sessions").glob("*/*.parquet"))
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


def with_kit(outputs: Path) -> dict:
    """The stages' own functions over the same store."""
    os.environ |= {"VIEWER_PERSONAS_OUTPUTS": str(outputs), "WISTIA_API_TOKEN": "benchmark"}
    os.environ["MAVERA_API_KEY"] = "benchmark"
    from helpers import cluster, enrich
    from helpers.run import Run

    shutil.rmtree(outputs / "dev", ignore_errors=True)
    # The window stands in run.json, where 01_fetch would have put it.
    Run.open("01_fetch", start_date="2024-07-01", end_date="2026-07-31")
    run = Run.open("02_enrich")
    enrich.features(run)
    run = Run.open("03_cluster", min_cell=1)
    cluster.assign(run)
    watched = cluster.content(run).parts["videos"].table
    con = enrich.run.engine
    summary = con.execute(
        "SELECT cluster, count(*) AS viewers, sum(video_count)::BIGINT AS videos, "
        "sum(total_visits)::BIGINT AS visits, count(*) FILTER (identified) AS identified, "
        "avg(avg_percent_watched) AS percent FROM viewers GROUP BY cluster"
    ).df().set_index("cluster")  # fmt: skip
    days = con.execute("SELECT sum(active_days)::BIGINT FROM viewers").fetchone()[0]
    return answer(summary, len(watched), int(watched["viewers"].sum()), int(days))


def answer(summary, cells: int, seen: int, days: int) -> dict:
    """What both jobs must agree on."""
    rows = summary.reindex(CLUSTERS).fillna(0)
    counts = rows[["viewers", "videos", "visits", "identified"]].astype(int).to_numpy().tolist()
    percent = [round(value, 6) for value in rows["percent"]]
    return {"counts": counts, "percent": percent, "cells": cells, "seen": seen, "days": days}


def timed(job: str, outputs: Path, **environment: str) -> dict:
    """Run one job in a process of its own."""
    command = [sys.executable, __file__, "--job", job, "--keep", str(outputs)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout.splitlines()[-1])


def on_cluster(outputs: Path) -> dict:
    """The kit's job on two Dask workers, the splitting of the store included."""
    import psutil

    shutil.rmtree(outputs / "store" / "live" / ".shards", ignore_errors=True)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sessions", nargs="*", type=int, default=[1_000_000, 10_000_000])
    parser.add_argument("--spill", action="store_true")
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--job")
    options = parser.parse_args()
    if options.job:
        began = time.monotonic()
        result = {"pandas": with_pandas, "kit": with_kit}[options.job](options.keep)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"seconds": time.monotonic() - began, "gb": peak, "result": result}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        print("| sessions | job | seconds | peak GB | of pandas' time | of its memory | equal |")
        print("|---|---|---|---|---|---|---|")
        for count in options.sessions:
            outputs = make(folder, count)
            first, kit = timed("pandas", outputs), timed("kit", outputs)
            say(count, "pandas", first, first)
            say(count, "kit", kit, first)
            if options.cluster:
                say(count, "kit, two Dask workers", on_cluster(outputs), first)
        if options.spill:
            outputs = make(folder, 50_000_000)
            limited = timed("kit", outputs, VIEWER_PERSONAS_MEMORY_LIMIT="2500MB")
            say(50_000_000, "kit, memory limit 2.5 GB", limited, {})


def say(count: int, job: str, found: dict, against: dict) -> None:
    if "failed" in found:
        print(f"| {count:,} | {job} | failed: {found['failed']} | | | | |", flush=True)
        return
    ratios = [
        f"{found[key] / against[key]:.2f}" if against.get(key) else "" for key in ("seconds", "gb")
    ]
    equal = {True: "yes", False: "NO"}[found["result"] == against["result"]] if against else ""
    print(
        f"| {count:,} | {job} | {found['seconds']:.1f} | {found['gb']:.2f} | {ratios[0]} "
        f"| {ratios[1]} | {equal} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
