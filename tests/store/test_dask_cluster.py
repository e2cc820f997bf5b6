"""A real scheduler and two workers, as processes on 127.0.0.1."""

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

from helpers import cluster, enrich
from helpers.core.errors import ServiceError
from helpers.run import Run
from helpers.store import dask_cluster
from helpers.store.shards import ShardFolder, ask_shard

ROOT = Path(__file__).resolve().parents[2]
NAME = "2026-07-01"


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Address of a scheduler with two workers, and the process that keeps one of them alive."""
    folder, processes = tmp_path_factory.mktemp("dask"), []
    file = folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}

    def start(*options: str) -> None:
        common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
        command = [sys.executable, "-m", "dask", *options, *common]
        processes.append(subprocess.Popen(command, **quiet, start_new_session=True))

    try:
        start("scheduler", "--port", "0")
        for place in (folder / "worker-0", folder / "worker-1"):
            own = ["--nthreads", "1", "--memory-limit", "2GB", "--local-directory", str(place)]
            start("worker", *own)
        until = time.monotonic() + 60
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], processes[-1].pid
    finally:
        for process in processes:  # with the workers that a nanny started; a farewell takes 8 s
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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


def test_the_public_command_finds_the_same_on_a_cluster_that_loses_a_worker(
    scheduler, bare_environment, tmp_path, monkeypatch
):
    address, nanny = scheduler
    there, alone, killed = bare_environment / NAME, tmp_path / "alone", []
    place = bare_environment / "store" / "sandbox" / ".shards"
    killer = threading.Thread(target=kill_a_worker, args=(nanny, place, killed))
    killer.start()
    cluster_of_two = {"VIEWER_PERSONAS_DASK": address, "VIEWER_PERSONAS_SHARDS": "5"}
    command = [sys.executable, "-m", "helpers", "run", "--stages", "1-3", "--run-date", NAME]
    done = subprocess.run(
        command, env=os.environ | cluster_of_two, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    killer.join(300)
    assert killed[1:] == ["replaced"]
    assert len(list(place.glob("*/all_sessions.whole"))) == 1
    text = (there / "02_enrich.ipynb").read_text()
    assert f"Dask cluster {address}: 2 at work, see http://" in text

    shutil.copytree(bare_environment, alone)
    shutil.rmtree(alone / "store" / "sandbox" / ".shards")
    shutil.rmtree(alone / NAME / "data")
    monkeypatch.setenv("VIEWER_PERSONAS_OUTPUTS", str(alone))
    enrich.features(Run.open("02_enrich", NAME))
    run = Run.open("03_cluster", NAME)
    cluster.assign(run)
    cluster.write_findings(run)
    assert_same(what_it_found(alone / NAME), what_it_found(there))


def test_what_fails_on_the_cluster_is_told_in_words(scheduler, tmp_path):
    workers = dask_cluster.Cluster(scheduler[0])
    workers._client.wait_for_workers(2, timeout=60)
    assert workers.count == 2
    folder = ShardFolder(str(tmp_path / "empty"), 2)
    question = "asker", [], f"FROM {folder.rows('gone')}", None
    with pytest.raises(ServiceError, match="failed: a worker cannot read or write"):
        list(workers.ask(ask_shard, [(folder, number, *question) for number in (0, 1)]))
    with pytest.raises(ServiceError, match="AttributeError.*Run again to go on"):
        list(workers.ask(ask_shard, [(None, 0, *question)]))


def test_versions_that_differ_are_told_before_any_work(scheduler, monkeypatch):
    monkeypatch.setattr(dask_cluster, "MUST_MATCH", ("pandas",))
    with pytest.raises(ServiceError, match=r"Worker tcp.* has viewer-persona.*and here is pandas"):
        dask_cluster.Cluster(scheduler[0])


def test_a_scheduler_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(dask_cluster, "ANSWERS", 0.5)
    with pytest.raises(ServiceError, match="No Dask scheduler with workers answers at tcp://127"):
        dask_cluster.Cluster("tcp://127.0.0.1:9")
