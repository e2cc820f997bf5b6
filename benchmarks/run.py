"""A whole sandbox run beside its floor: six kernels started, their imports done, nothing else.

Usage: ``python benchmarks/run.py [times]``; default 3. Each round measures both, one after the
other, in fresh outputs; prints the medians, their ratio, where the time of a run goes, and how much
of the machine other programs took meanwhile: a run works on two cores at once, the floor on one, so
that the ratio grows with it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent


def floor() -> float:
    """Seconds to start a kernel for each notebook and run its imports, one after the other."""
    began = time.monotonic()
    for path in sorted((ROOT / "notebooks").glob("0*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        lines = [
            line
            for cell in cells
            if cell.cell_type == "code"
            for line in cell.source.splitlines()
            if line.startswith(("import ", "from "))
        ]
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("\n".join(lines))])
        NotebookClient(book, kernel_name="python3").execute()
    return time.monotonic() - began


def whole() -> tuple[float, dict[str, float]]:
    """Seconds of ``viewer-personas run`` on the sandbox, and of each stage."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WISTIA_", "MAVERA_", "VIEWER_PERSONAS_"))
        }
        environment["VIEWER_PERSONAS_ENV_FILE"] = os.devnull
        command = [sys.executable, "-m", "helpers", "run", "--outputs", folder, "--quiet"]
        began = time.monotonic()
        subprocess.run(command, check=True, env=environment, cwd=ROOT)
        seconds = time.monotonic() - began
        manifest = json.loads(next(Path(folder).glob("2*/run.json")).read_text("utf-8"))
    return seconds, {name: stage["seconds"] for name, stage in manifest["stages"].items()}


def used() -> tuple[float, float]:
    """Core seconds so far: of the whole machine, and of this process with its children."""
    every, own = psutil.cpu_times(), os.times()
    return sum(every) - every.idle - getattr(every, "iowait", 0), sum(own[:4])


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    floors, runs, stages, others = [], [], [], []
    for _ in range(rounds):
        floors.append(floor())
        began = used()
        seconds, parts = whole()
        runs.append(seconds)
        stages.append(parts)
        every, own = (end - start for start, end in zip(began, used(), strict=True))
        others.append((every - own) / seconds / os.cpu_count())
    low, run = statistics.median(floors), statistics.median(runs)
    print("| what | seconds, median | of the floor |\n|---|---|---|")
    print(f"| six kernels and their imports | {low:.1f} | 1.00 |")
    print(f"| a whole sandbox run | {run:.1f} | {run / low:.2f} |")
    for name in stages[0]:
        print(f"| {name} | {statistics.median(part[name] for part in stages):.1f} | |")
    taken = ", ".join(f"{share:.0%}" for share in others)
    print(f"\nOther programs took {taken} of the cores during the runs.")


if __name__ == "__main__":
    main()
