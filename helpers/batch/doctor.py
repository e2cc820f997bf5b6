"""First contact: is this machine ready, what may the keys do, what will a first pull take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from helpers import mavera as agent
from helpers.batch import contract, kernels
from helpers.core import clock, files
from helpers.core import settings as settings_module
from helpers.core.errors import AccessError, DataError, KitError, ServiceError
from helpers.core.fields import Shape
from helpers.core.folders import make_outputs
from helpers.core.http import Client
from helpers.core.parameters import Parameters
from helpers.core.settings import Settings
from helpers.fetch import host, open_host
from helpers.run import Run
from helpers.sandbox.process import stop_sandboxes
from helpers.store import rules

CLOCK_SECONDS = 300
"""A clock that is off by more may put a session on another day."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: what was looked at, what was found, and what it means."""

    name: str
    text: str
    error: KitError | None = None

    def __str__(self) -> str:
        return f"{'ok  ' if self.error is None else 'FAIL'} {self.name:<9} {self.text}"


def examine() -> list[Finding]:
    """Check kernel, outputs, keys, clock, scopes and credits; free calls only.

    Returns
    -------
    list of Finding
        In order; a failed check carries its error and hides none of the others.
    """
    settings, findings = settings_module.load(), []
    for name, check in CHECKS.items():
        try:
            findings += [Finding(name, line) for line in check(settings)]
        except KitError as error:
            findings.append(Finding(name, str(error), error))
            if name == "keys":  # nobody can be asked
                break
    return findings


def refuse(findings: list[Finding]) -> None:
    """Raise the first error found, so that the exit status tells its kind."""
    for finding in findings:
        if finding.error:
            raise finding.error


def _visit(settings: Settings) -> Run:
    """A run that is not written down: it knows the services, the window and the store."""
    return Run("doctor", settings.outputs / "doctor", settings, Parameters())


def _kernel(_: Settings) -> list[str]:
    return [kernels.check_kernel()]


def _outputs(settings: Settings) -> list[str]:
    make_outputs(settings.outputs)
    return [f"{settings.outputs} can be written"]


def _keys(settings: Settings) -> list[str]:
    words = {"live": "live", "sandbox": "the sandbox, because its key is not set"}
    source = _visit(settings).source
    return [f"Wistia is {words[source.wistia]}; Mavera is {words[source.mavera]}"]


def _clock(settings: Settings) -> list[str]:
    """This machine's clock against the Date header, which needs no token."""
    visit = _visit(settings)
    if visit.source.wistia != "live":
        return []
    try:
        address = visit.wistia_address()[0]
        told = requests.head(address, timeout=20, allow_redirects=False).headers.get("Date", "")
        seconds = (clock.now() - parsedate_to_datetime(told)).total_seconds()
    except requests.RequestException:
        raise ServiceError(
            "Wistia could not be reached. Check the network, a proxy and WISTIA_BASE_URL."
        ) from None
    except (TypeError, ValueError):  # no time, or one without its zone
        return ["the service does not tell its time"]
    if abs(seconds) > CLOCK_SECONDS:
        way = "ahead of" if seconds > 0 else "behind"
        raise KitError(
            f"This machine's clock is {abs(seconds):,.0f} s {way} the service's. Days would be "
            "cut in the wrong place. Set it (timedatectl set-ntp true) and run again."
        )
    return [f"within {max(1, abs(seconds)):.0f} s of the service's"]


def _wistia(settings: Settings) -> Iterator[str]:
    """What the token may read, and what a first pull of the account will take."""
    visit, per_minute = _visit(settings), settings.requests_per_minute
    if visit.source.wistia != "live":
        return
    start, end = visit.window.start, visit.window.end
    with closing(open_host(visit)) as service:
        scopes = service.scopes()
        if scopes:
            yield f"the token may read: {', '.join(sorted(scopes))}"
        visitors = last_page(lambda page: any(service.visitors(page)))
        sessions = last_page(lambda page: any(service.sessions(start, end, page)))
        if not scopes:
            yield "visitors and sessions can be read; the service does not tell more of the token"
        try:
            any(service.medias())
            yield "videos can be read"
        except AccessError:
            yield "videos cannot be read: their lengths and folders will be unknown"
        rows, pages, stored = service.per_page, visitors + sessions, len(visit.store.days())
    yield f"up to {visitors * rows:,} visitors and {sessions * rows:,} sessions in {start} to {end}"
    minutes = max(1, round(pages / per_minute))
    there = f"; {stored:,} days are stored already" if stored else ""
    yield f"a first pull: {pages:,} requests, {minutes} min at {per_minute} a minute{there}"


def last_page(exists: Callable[[int], bool]) -> int:
    """Number of the last page, found by doubling and halving; 0 when there is none."""
    above = 1
    while exists(above):
        above *= 2
    low, high = above // 2, above
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exists(middle) else (low, middle)
    return low


def _mavera(settings: Settings) -> Iterator[str]:
    visit = _visit(settings)
    if visit.source.mavera != "live":
        return
    usage = agent.Account(visit).mavera.usage()
    left = "unknown" if usage.remaining is None else f"{usage.remaining:,}"
    yield f"the key is good; credits used: {usage.used:,}, left: {left}"
    clusters = len(rules.load().names)
    most = clusters * agent.KINDS["persona"].price + agent.KINDS["mave"].price
    yield f"a first run of {clusters} personas and one question costs at most {most:,} credits"
    if usage.auto_recharge:
        yield "auto-recharge is on: Mavera buys credits by itself when they run low"


CHECKS: dict[str, Callable[[Settings], Iterable[str]]] = {
    "kernel": _kernel,
    "outputs": _outputs,
    "keys": _keys,
    "clock": _clock,
    "wistia": _wistia,
    "mavera": _mavera,
}
"""What is looked at, in this order; what does not apply says nothing."""


def compare() -> list[Finding]:
    """Compare answers of both services with the shapes relied on; free calls only.

    Writes ``contract.json`` into the outputs folder: paths, keys and kinds, never a value.

    Returns
    -------
    list of Finding
        One for each path; failed where the kit relies on what is different.
    """
    settings = settings_module.load()
    make_outputs(settings.outputs)
    visit, differences, findings = _visit(settings), [], []
    with closing(open_host(visit)) as wistia:
        mavera = agent.Account(visit).mavera
        for service, shapes in ((wistia.client, host.SHAPES), (mavera.client, agent.SHAPES)):
            for path, shape in shapes.items():
                finding, rows = _compared(service, path, shape)
                findings.append(finding)
                differences += [{"service": service.service, **row} for row in rows]
    content = {
        "schema_version": 1,
        "checked_at": clock.now().isoformat(timespec="seconds"),
        "source": asdict(visit.source),
        "differences": differences,
    }
    files.write_json(settings.outputs / "contract.json", content)
    stop_sandboxes()
    return findings


def _compared(service: Client, path: str, shape: Shape) -> tuple[Finding, list[dict[str, Any]]]:
    name, kind = service.service.lower(), list if shape.rows == "[]" else dict
    try:
        answer = service.get(path, shape.query, expect=kind, attempts=3)
    except KitError as error:
        row = {"path": path, "key": "(the answer)", "expected": "an answer", "rows": 1}
        told = Finding(name, str(error), error if shape.needed else None)
        return told, [{**row, "relied_on": shape.needed}]
    rows = contract.differences(path, answer, shape) + contract.order(path, answer, shape)
    broken = [f"{row['key']} (expected {row['expected']})" for row in rows if row["relied_on"]]
    if not broken:
        return Finding(name, f"{path}: as relied on; {len(rows)} new keys"), rows
    error = DataError(
        f"{service.service}: the answer of GET {path} is not as the kit relies on: "
        f"{', '.join(broken[:3])}.",
        remedy="contract.json in the outputs folder lists all of it, without values; send it with "
        "a report of the fault.",
    )
    return Finding(name, str(error), error), rows
