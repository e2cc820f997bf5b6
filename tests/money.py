"""A run with three stages done and a Mavera beside it, for the tests and benchmarks of spending."""

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from helpers import analysis, cluster, enrich, personas
from helpers.core import http as http_module
from helpers.core.files import write_parquet
from helpers.mavera import purchases
from helpers.run import Run
from helpers.sandbox.account import Account
from helpers.sandbox.faults import Faults
from helpers.sandbox.server import create_app, start_in_thread
from helpers.store.schema import MEDIAS, SESSIONS, VISITORS

NAME = "2026-07-01"
KINDS = {  # viewers, videos each, completion of each
    "b": (30, 6, 0.9), "e": (25, 3, 0.6), "o": (40, 1, 0.1), "s": (20, 2, 0.3), "c": (35, 1, 0.7),
}  # fmt: skip
TITLES = {f"v{n}": f"Video {'ABCDEFG'[n]}" for n in range(7)}
START = datetime(2026, 6, 1, 9, tzinfo=UTC)


def sessions(kinds=KINDS, **texts) -> list[dict]:
    """Sessions of viewers of each kind; ``texts`` stand in every row."""
    rows = []
    for kind, (viewers, videos, percent) in kinds.items():
        for viewer in range(viewers):
            for video in range(videos):
                at = START + timedelta(days=viewer % 20, hours=3 * video)
                rows.append({
                    "event_key": f"{kind}{viewer}-{video}", "visitor_key": f"{kind}{viewer}",
                    "media_id": f"v{video}", "media_name": TITLES[f"v{video}"], "received_at": at,
                    "percent_viewed": percent, "country": "US" if viewer % 3 else "GB",
                    "mobile": viewer % 2 == 0, **texts,
                })  # fmt: skip
    return rows


READ = "2026-07-01T00:00:00+00:00"


def fill(run: Run, rows: list[dict], visitors: list[dict] = (), titles=TITLES) -> None:
    """Write rows the way the store keeps them, and run stages 02 and 03."""
    run.store.open("sandbox")
    for day in sorted({row["received_at"].date() for row in rows}):
        of_day = [row for row in rows if row["received_at"].date() == day]
        run.store.sessions.write(day, pa.Table.from_pylist(of_day, schema=SESSIONS), read_at=READ)
    if not rows:
        run.store.sessions.write(START.date(), SESSIONS.empty_table(), read_at=READ)
    write_parquet(run.store.visitors_path, pa.Table.from_pylist(list(visitors), VISITORS))
    medias = [{"media_id": key, "name": name} for key, name in titles.items()]
    write_parquet(run.store.medias_path, pa.Table.from_pylist(medias, MEDIAS))
    enrich.features(run)
    cluster.assign(run)


def spend(max_credits: int, name: str = NAME, **given) -> Run:
    """What the notebooks of stages 04 and 05 call, in a run folder that is there."""
    run = Run.open("04_personas", name, max_credits=max_credits, **given)
    personas.drafts(run)
    personas.bill(run)
    personas.buy(run)
    run = Run.open("05_mave_analysis", name, max_credits=max_credits, **given)
    analysis.ask(run)
    return run


class World:
    """An outputs folder whose stages 01 to 03 are done, and a Mavera on this machine.

    Attributes
    ----------
    mavera : helpers.sandbox.mavera.Mavera
        Its ``personas`` and ``used`` are what was truly made and charged.
    log : list of dict
        Every request that arrived.
    """

    def __init__(self, outputs: Path, monkeypatch, template: Path | None = None, **mavera):
        self.outputs, self.patch, self.log = outputs, monkeypatch, []
        self.faults = Faults()
        mavera = {"per_minute": 10**6, **mavera}
        self.app = create_app(Account([], [], []), log=self.log, faults=self.faults, **mavera)
        self.mavera = self.app.mavera
        self.url, self.stop = start_in_thread(self.app)
        for name in ("WISTIA_API_TOKEN", "WISTIA_BASE_URL", "VIEWER_PERSONAS_LOCK"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("VIEWER_PERSONAS_OUTPUTS", str(outputs))
        monkeypatch.setenv("VIEWER_PERSONAS_SANDBOX", self.url)
        self.live()
        if template:
            shutil.copytree(template, outputs)

    def live(self, key: str = "mvra_live_0123456789abcdef0123456789abcdef") -> None:
        self.patch.setenv("MAVERA_API_KEY", key)
        self.patch.setenv("MAVERA_BASE_URL", self.url + "/api/v1")

    def run(self, stage: str = "04_personas", name: str = NAME, **given) -> Run:
        (self.outputs / name).mkdir(parents=True, exist_ok=True)
        run = Run.open(stage, name, **given)
        if run.find("viewers.parquet") is None:
            shutil.copytree(self.outputs / NAME / "data", run.folder / "data")
            (run.folder / "data" / "personas.json").unlink(missing_ok=True)
            (run.folder / "data" / "analysis.json").unlink(missing_ok=True)
        both = {"04_personas": {"status": "waiting"}, "05_mave_analysis": {"status": "waiting"}}
        run.record(stages=both)
        return run

    def filled(self, rows=None, name: str = NAME, **more) -> Run:
        (self.outputs / name).mkdir(parents=True, exist_ok=True)
        run = Run.open("03_cluster", name)
        fill(run, sessions() if rows is None else rows, **more)
        return run

    def spend(self, max_credits: int = 2000, name: str = NAME, **given) -> Run:
        """Stages 04 and 05 as their notebooks run them."""
        self.run("04_personas", name)
        return spend(max_credits, name, **given)

    def sent(self, method: str = "POST", path: str = "") -> list[dict]:
        return [r for r in self.log if r["method"] == method and path in r["path"]]


def hurry(patch, scale: float = 1000) -> None:
    """Seconds become milliseconds: pauses between two looks, and the waits of the HTTP client."""
    patch.setattr(purchases, "pause", lambda seconds: time.sleep(seconds / scale))
    patch.setattr(http_module.Client, "FIRST_WAIT", 2 / scale)
    patch.setattr(personas, "describe_profiles", _described)


_describe, _known = personas.describe_profiles, {}


def _described(engine, clusters, min_cell):
    """Runs over the same viewers are measured once."""
    key = (clusters.to_csv(), min_cell)
    if key not in _known:
        _known[key] = _describe(engine, clusters, min_cell)
    return _known[key]


def strike(world: World, kind: str, *, path: str, number: int = 1, method: str = "POST") -> None:
    """Let the n-th such request from now on go wrong."""
    only: Callable[[str, str], bool] = lambda m, p: m == method and p.endswith(path)  # noqa: E731
    world.app.faults = Faults(script={number: kind}, only=only, retry_after=0)
