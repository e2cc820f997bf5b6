"""The public command and the sandbox as processes, as a user starts them."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def bare(**environment: str) -> dict[str, str]:
    """This environment with no key and no setting but these."""
    ours = ("VIEWER_PERSONAS_", "WISTIA_", "MAVERA_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"VIEWER_PERSONAS_ENV_FILE": os.devnull} | environment


def give(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """The public command."""
    words = [sys.executable, "-m", "helpers", *arguments]
    return subprocess.run(
        words,
        cwd=cwd,
        env=bare(**environment),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def run(outputs: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """A run that ends well."""
    done = give("run", "--outputs", str(outputs), *arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def manifest(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text("utf-8"))


@contextlib.contextmanager
def sandbox(*options: str) -> Iterator[dict[str, str]]:
    """A sandbox in the place of a live Wistia: what the environment of a run then has."""
    command = [sys.executable, "-m", "helpers", "sandbox", "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = re.search(r"http://\S+", process.stdout.readline())[0]
            yield {"WISTIA_BASE_URL": url, "WISTIA_API_TOKEN": "any-token"}
        finally:
            process.terminate()
