"""The analysis of stage 03: what it costs on 100,000 viewers, and how often it cries wolf.

Run ``python benchmarks/analysis.py [cost] [alarms]``; without a word both, in about ten minutes.
It writes ``benchmarks/analysis.md``. Data are drawn by seed; nothing is fetched.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

VIEWERS, SEEDS = 100_000, 200
MOST_SECONDS, MOST_MB = 30, 1_000
KINDS = {  # videos at least, more, mean completion, spread: as in tests/viewing.py, with a rest
    "binge_watchers": (6, 14, 0.86, 0.08),
    "engaged_explorers": (3, 3, 0.62, 0.12),
    "bouncers": (1, 0, 0.12, 0.08),
    "skimmers": (2, 4, 0.3, 0.12),
    "casual_viewers": (1, 0, 0.75, 0.25),
}
SHARES = [0.07, 0.19, 0.33, 0.15, 0.26]


class Peak(threading.Thread):
    """Largest resident memory of this process while it runs [MB], above what it began with."""

    def __init__(self):
        super().__init__(daemon=True)
        import psutil

        self.process, self.stop = psutil.Process(), threading.Event()
        self.start_mb = self.most = self.process.memory_info().rss / 1e6

    def run(self):
        while not self.stop.wait(0.02):
            self.most = max(self.most, self.process.memory_info().rss / 1e6)

    def above(self) -> float:
        self.stop.set()
        self.join()
        return self.most - self.start_mb


def fill_store(run, viewers: int) -> int:
    """Sessions, visitors and medias of an account, in the store's own layout; rows written."""
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    from helpers.store.store import MEDIAS, SESSIONS, VISITORS
    from tests.viewing import drawn

    rng = np.random.default_rng(0)
    frame, _ = drawn(viewers, rng, kinds=KINDS, shares=SHARES, days=365, videos=142)
    frame["received_at"] -= pd.Timedelta(days=366 - 30)
    again = frame.sample(frac=0.3, random_state=0)  # videos watched a second time
    again["event_key"] = "again" + again["event_key"]
    frame = pd.concat([frame, again], ignore_index=True)
    frame["page"] = np.char.add("acme.example/", rng.integers(0, 40, len(frame)).astype(str))
    frame["utm_campaign"] = np.char.add("c", rng.integers(0, 25, len(frame)).astype(str))
    frame["conversion_type"] = np.where(rng.random(len(frame)) < 0.03, "form", None)
    frame["mobile"] = False
    table = pa.Table.from_pandas(frame[SESSIONS.names], schema=SESSIONS, preserve_index=False)
    folder = run.store.folder / "sessions"
    folder.parent.mkdir(parents=True)
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.register("t", table)
    con.execute(
        f"COPY (SELECT *, received_at::DATE AS day FROM t) TO '{folder}' "
        "(FORMAT parquet, PARTITION_BY (day), FILENAME_PATTERN 'part-{i}')"
    )
    for day in folder.iterdir():
        rows = con.execute(f"SELECT count(*) FROM '{day}/*.parquet'").fetchone()[0]
        (day / "day.json").write_text(f'{{"rows": {rows}, "read_at": "2026-07-01T00:00:00+00:00"}}')
    keys = frame["visitor_key"].unique()
    known = rng.random(len(keys)) < 0.37
    people = pd.DataFrame(dict.fromkeys(VISITORS.names), index=range(len(keys)))
    people["visitor_key"] = keys
    people["email"] = [f"p{n}@company{n % 5000}.example" if k else None
                       for n, k in enumerate(known)]  # fmt: skip
    pq.write_table(pa.Table.from_pandas(people, schema=VISITORS, preserve_index=False),
                   run.store.visitors_path)  # fmt: skip
    medias = [{"media_id": f"v{n}", "name": f"Video {n}", "duration": 20.0 + 9 * n,
               "folder": f"Folder {n % 9}"} for n in range(142)]  # fmt: skip
    medias = [dict.fromkeys(MEDIAS.names) | row for row in medias]
    pq.write_table(pa.Table.from_pylist(medias, schema=MEDIAS), run.store.medias_path)
    return len(frame)


def cost(viewers: int) -> dict[str, float]:
    """Seconds and memory of ``insights.write``, and of the stages before it, in this process."""
    from helpers import cluster, enrich
    from helpers.core.files import write_json
    from helpers.findings import insights
    from helpers.run import Run

    run = Run.open("02_enrich", source="sandbox")
    rows = fill_store(run, viewers)
    begun = time.perf_counter()
    enrich.features(run)
    run = Run.open("03_cluster", source="sandbox")
    cluster.assign(run)
    before = time.perf_counter() - begun
    earlier = run.settings.outputs / "2026-06-30"  # a run before, so that there is a change to tell
    shutil.copytree(run.folder, earlier)
    write_json(earlier / "run.json", {**run.manifest(), "status": "done"})
    peak = Peak()
    peak.start()
    begun, worked = time.perf_counter(), time.process_time()
    found = insights.write(run)
    return {
        "viewers": found["coverage"]["figures"]["viewers"], "sessions": rows,
        "seconds_before": before, "seconds": time.perf_counter() - begun,
        "cpu": time.process_time() - worked,
        "mb_above": peak.above(),
        "mb_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def in_a_child(viewers: int) -> dict[str, float]:
    """:func:`cost` in a fresh process with an outputs folder of its own."""
    import json
    import subprocess

    with tempfile.TemporaryDirectory() as outputs:
        environment = {**os.environ, "VIEWER_PERSONAS_OUTPUTS": outputs,
                       "VIEWER_PERSONAS_ENV_FILE": os.devnull}  # fmt: skip
        for name in ("WISTIA_API_TOKEN", "MAVERA_API_KEY", "WISTIA_BASE_URL", "MAVERA_BASE_URL"):
            environment.pop(name, None)
        code = f"import analysis, json; print(json.dumps(analysis.cost({viewers})))"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=HERE, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def changes(seed: int, planted: bool) -> bool:
    """Whether a change is told between two periods of 300 viewers, half of them in both."""
    from helpers.findings import change
    from helpers.store import rules
    from tests.viewing import drawn, tables, window

    rng = np.random.default_rng(seed)
    shares = [0.1, 0.3, 0.4, 0.2]
    stay, _ = drawn(150, rng, shares=shares, days=56, prefix="s")
    before, _ = drawn(150, rng, shares=shares, prefix="b")
    after, _ = drawn(150, rng, shares=[0.35, 0.3, 0.15, 0.2] if planted else shares, prefix="a")
    shift = pd.Timedelta(days=28)
    before["received_at"] -= shift
    stay["received_at"] -= shift
    inside = stay["received_at"] >= pd.Timestamp(window().start, tz="UTC")
    con = tables(
        pd.concat([after, stay[inside]], ignore_index=True),
        earlier=pd.concat([before, stay[~inside]], ignore_index=True),
    )
    rows = change.against_period(con, window(), rules.load())["rows"]
    return any(row["changed"] for row in rows)


def tastes(seed: int, planted: bool) -> bool:
    """Whether a video stands out among eight, chosen by lot, or by one kind not by lot."""
    from helpers.findings import affinity
    from tests.viewing import frame_of, session, tables

    rng = np.random.default_rng(seed)
    sessions = []
    for n in range(400):
        finishes = rng.random() < 0.5
        odds = np.ones(8) + (4 * (np.arange(8) == 0) if planted and finishes else 0)
        video = rng.choice(8, p=odds / odds.sum())
        sessions.append(session(f"a{n}", f"v{video}", 0.9 if finishes else 0.1))
    con = tables(frame_of(sessions))
    affinity.prepare(con)
    return bool((affinity.table(con)["q_value"] < affinity.LEVEL).any())


def groups(seed: int, planted: bool) -> bool:
    """Whether clusters are found among 500 viewers of one population, or of four kinds."""
    from tests.test_discovery import noise

    from helpers.findings import discovery
    from tests.viewing import drawn, tables

    rng = np.random.default_rng(seed)
    if not planted:
        viewers = noise(500, rng)
    else:
        from helpers.findings import affinity

        con = tables(drawn(500, rng)[0])
        affinity.prepare(con)
        viewers = discovery.sample(con, seed=seed)
    return bool(discovery.find(discovery.points(viewers, seed=seed), seed=seed)[0].max() > 0)


def rate(method, seeds: int, planted: bool) -> int:
    return sum(method(1_000 + seed, planted) for seed in range(seeds))


ALARMS = {
    "change between two periods": changes,
    "a video that a cluster prefers": tastes,
    "clusters found by the data": groups,
}


def write_report(costs: dict | None, alarms: dict | None) -> None:
    lines = ["# The analysis of stage 03", "", f"Made by `benchmarks/analysis.py` on "
             f"{os.cpu_count()} cores, Python {platform.python_version()}."]  # fmt: skip
    if costs:
        small, large = costs["small"], costs["large"]
        lines += ["", "## Cost", "", "`insights.write`: affinity, sources, conversions, change "
                  "since a run before and since the period before, stability, clusters found by "
                  "the data, people to call, companies, coverage; imports included.", "",
                  "| viewers | sessions | stages 02 and 03 before it [s] | insights [s] "
                  "| work of all cores in it [s] | memory above the start [MB] "
                  "| peak of the process [MB] |",
                  "|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
        lines += [
            f"| {c['viewers']:,} | {c['sessions']:,} | {c['seconds_before']:.1f} "
            f"| {c['seconds']:.1f} | {c['cpu']:.1f} | {c['mb_above']:.0f} | {c['mb_peak']:.0f} |"
            for c in (small, large)
        ]
        kept = large["seconds"] < MOST_SECONDS and large["mb_above"] < MOST_MB
        lines += ["", f"Wanted on {VIEWERS:,} viewers: under {MOST_SECONDS} s and "
                  f"{MOST_MB:,} MB: **{'kept' if kept else 'NOT kept'}**."]  # fmt: skip
    if alarms:
        lines += ["", "## Alarms", "", f"{SEEDS} seeds each. Nothing planted: share of seeds with "
                  "an alarm, wanted at most about 5 %. Planted: share that finds it.", "",
                  "| method | false alarms | found when planted |", "|---|--:|--:|"]  # fmt: skip
        lines += [
            f"| {name} | {false} of {SEEDS} ({false / SEEDS:.1%}) | {true} of {SEEDS} |"
            for name, (false, true) in alarms.items()
        ]
    (HERE / "analysis.md").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


def main(words: list[str]) -> None:
    words = words or ["cost", "alarms"]
    costs = alarms = None
    if "cost" in words:
        costs = {"small": in_a_child(1_247), "large": in_a_child(VIEWERS)}
    if "alarms" in words:
        alarms = {name: (rate(method, SEEDS, False), rate(method, SEEDS, True))
                  for name, method in ALARMS.items()}  # fmt: skip
    write_report(costs, alarms)


if __name__ == "__main__":
    main(sys.argv[1:])
