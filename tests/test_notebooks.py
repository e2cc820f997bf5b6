"""The committed notebooks, executed in order on fresh outputs: every output is the same."""

import subprocess
import sys
from pathlib import Path

from helpers.core.folders import STAGES

ROOT = Path(__file__).resolve().parent.parent


def test_committed_outputs_are_what_the_cells_print_today(bare_environment):
    books = [f"notebooks/{stage}.ipynb" for stage in STAGES]
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", *books]
    quiet = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
    done = subprocess.run([*command, *quiet], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert (bare_environment / "dev" / "run.json").is_file(), "it ran somewhere else"
