"""A real scheduler and two workers, as processes on 127.0.0.1."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from test_shards import assert_same

from helpers.core.errors import ServiceError
from helpers.store import dask_cluster
from helpers.store.shards import ShardFolder, ask_shard

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Address of a scheduler with two workers, and the process that keeps one of them alive."""
    folder = tmp_path_factory.mktemp("dask")
    file, processes = folder / "scheduler.json", []
    common = ["--scheduler-file", str(file), "--host", "127.0.0.1"]
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    try:
        command = [*dask, "scheduler", *common, "--port", "0", "--no-dashboard"]
        processes.append(subprocess.Popen(command, **quiet))
        for number in range(2):
            own = ["--nthreads", "1", "--memory-limit", "2GB", "--no-dashboard"]
            place = ["--local-directory", str(folder / f"worker-{number}")]
            processes.append(subprocess.Popen([*dask, "worker", *common, *own, *place], **quiet))
        until = time.monotonic() + 60
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], processes[-1].pid
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run(outputs: Path, *options: str, **settings: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "VIEWER_PERSONAS_OUTPUTS": str(outputs), **settings}
    command = [sys.executable, "-m", "helpers", "run", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def what_it_found(folder: Path) -> dict[str, pd.DataFrame]:
    viewers = pd.read_parquet(folder / "data" / "viewers.parquet")
    return {
        "viewers": viewers.sort_values("visitor_key", ignore_index=True),
        "clusters": pd.read_csv(folder / "data" / "clusters.csv"),
        "counts": pd.DataFrame([json.loads((folder / "run.json").read_text())["counts"]]),
    }


def kill_a_worker(nanny: int, shards_of: Path, killed: list) -> None:
    """Kill -9 one worker once the store is split, which is when the stages begin to ask."""

    def workers() -> set[int]:
        found = set()
        for child in psutil.Process(nanny).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # a killed one, not yet gone
                if "spawn_main" in " ".join(child.cmdline()):
                    found.add(child.pid)
        return found

    until = time.monotonic() + 300
    while time.monotonic() < until and not list(shards_of.glob("*/all_sessions.whole")):
        time.sleep(0.02)
    (victim,) = workers()
    os.kill(victim, signal.SIGKILL)
    killed.append(victim)
    while time.monotonic() < until:  # its nanny puts another in its place
        if workers() - {victim}:
            killed.append("replaced")
            return
        time.sleep(0.1)


def test_the_public_command_finds_the_same_on_a_cluster_that_loses_a_worker(scheduler, tmp_path):
    address, nanny = scheduler
    outputs, alone, killed = tmp_path / "outputs", tmp_path / "alone", []
    run(outputs, "--stages", "1", "--run-date", "2026-07-01")
    shutil.copytree(outputs, alone)
    stages = ("--stages", "2-3", "--resume", "2026-07-01")
    run(alone, *stages)
    here = what_it_found(alone / "2026-07-01")
    place = outputs / "store" / "sandbox" / ".shards"
    assert not place.exists()
    killer = threading.Thread(target=kill_a_worker, args=(nanny, place, killed))
    killer.start()
    run(outputs, *stages, VIEWER_PERSONAS_DASK=address, VIEWER_PERSONAS_SHARDS="5")
    killer.join(300)
    assert killed[1:] == ["replaced"]
    assert len(list(place.glob("*/all_sessions.whole"))) == 1
    assert_same(here, what_it_found(outputs / "2026-07-01"))
    text = (outputs / "2026-07-01" / "02_enrich.ipynb").read_text()
    assert f"Dask cluster {address}: 2 at work, see http://" in text


def test_what_fails_on_the_cluster_is_told_in_words(scheduler, tmp_path):
    cluster = dask_cluster.Cluster(scheduler[0])
    cluster._client.wait_for_workers(2, timeout=60)
    assert cluster.count == 2
    folder = ShardFolder(str(tmp_path / "empty"), 2)
    tasks = [
        (folder, number, "asker", [], f"FROM {folder.rows('gone')}", None) for number in (0, 1)
    ]
    with pytest.raises(ServiceError, match="failed: a worker cannot read or write"):
        list(cluster.ask(ask_shard, tasks))
    with pytest.raises(ServiceError, match="AttributeError.*Run again to go on"):
        list(cluster.ask(ask_shard, [(None, *tasks[0][1:])]))


def test_versions_that_differ_are_told_before_any_work(scheduler, monkeypatch):
    monkeypatch.setattr(dask_cluster, "MUST_MATCH", ("pandas",))
    with pytest.raises(ServiceError, match=r"Worker tcp.* has viewer-persona.*and here is pandas"):
        dask_cluster.Cluster(scheduler[0])


def test_a_scheduler_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(dask_cluster, "ANSWERS", 0.5)
    with pytest.raises(ServiceError, match="No Dask scheduler with workers answers at tcp://127"):
        dask_cluster.Cluster("tcp://127.0.0.1:9")
