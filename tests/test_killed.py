"""A run that is killed with no time to clean up: nobody is left outside, nothing torn is read."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pandas as pd
from test_whole_run import ROOT, give, manifest


def test_a_killed_run_leaves_nobody_outside_and_goes_on(tmp_path):
    outputs, outside = tmp_path / "outputs", tmp_path / "elsewhere"
    outside.mkdir()
    places = {"HOME": str(outside), "TMPDIR": str(outside), "VIEWER_PERSONAS_ENV_FILE": os.devnull}
    folder = outputs / "2026-07-01"
    words = ["run", "--outputs", str(outputs), "--run-date", "2026-07-01", "--quiet"]
    with subprocess.Popen(
        [sys.executable, "-m", "helpers", *words], cwd=ROOT, env=os.environ | places
    ) as process:
        while not (folder / "data" / "features.parquet").is_file():
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(1)  # in the middle of stage 02 or 03
        process.kill()
    assert manifest(folder)["status"] == "running"
    for torn in (folder / "data" / ".viewers.parquet.1.tmp", folder / "data" / ".x.csv.1.tmp"):
        torn.write_bytes(b"PAR1")
    done = give("run", "--resume", "2026-07-01", "--outputs", str(outputs), **places)
    assert done.returncode == 0, done.stdout + done.stderr
    assert manifest(folder)["status"] == "done" and manifest(folder)["counts"]["viewers"] == 1218
    emails = pd.read_parquet(folder / "data" / "viewers.parquet")["email"].dropna().str.lower()
    left = {path: path.read_bytes().lower() for path in outside.rglob("*") if path.is_file()}
    assert len(emails) == 454
    assert [path for path, text in left.items() if any(e.encode() in text for e in emails)] == []
