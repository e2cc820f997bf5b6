"""First contact: is this machine ready, what may the keys do, what will a first pull take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from helpers.batch import contract, kernels
from helpers.core import clock, files
from helpers.core import settings as settings_module
from helpers.core.errors import AccessError, DataError, KitError, ServiceError
from helpers.core.folders import make_outputs
from helpers.core.http import Client
from helpers.core.parameters import Parameters
from helpers.core.settings import Settings
from helpers.core.sources import Sources
from helpers.mavera.bill import KINDS
from helpers.mavera.client import Mavera
from helpers.run import Run
from helpers.sandbox.process import stop_sandboxes
from helpers.wistia.client import Wistia

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
    settings = settings_module.load()
    findings = [
        *_check("kernel", kernels.check_kernel),
        *_check("outputs", lambda: _outputs(settings)),
        *_check("keys", lambda: _keys(settings)),
    ]
    if findings[-1].error:
        return findings
    visit = _visit(settings)
    if visit.source.wistia == "live":
        findings += _check("clock", lambda: _clock(visit.wistia_address()[0]))
        findings += _check("wistia", lambda: _wistia(visit))
    if visit.source.mavera == "live":
        findings += _check("mavera", lambda: _mavera(visit))
    return findings


def _visit(settings: Settings) -> Run:
    """A run that is not written down: it knows the services, the window and the store."""
    return Run("doctor", settings.outputs / "doctor", settings, Parameters())


def refuse(findings: list[Finding]) -> None:
    """Raise the first error found, so that the exit status tells its kind."""
    for finding in findings:
        if finding.error:
            raise finding.error


def _check(name: str, look: Callable[[], str | Iterator[str]]) -> list[Finding]:
    findings = []
    try:
        said = look()
        for line in [said] if isinstance(said, str) else said:
            findings.append(Finding(name, line))
    except KitError as error:
        findings.append(Finding(name, str(error), error))
    return findings


def _outputs(settings: Settings) -> str:
    make_outputs(settings.outputs)
    return f"{settings.outputs} can be written"


def _keys(settings: Settings) -> str:
    words = {"live": "live", "sandbox": "the sandbox, for its key is not set"}
    source = asdict(Sources.of(settings, Parameters(), ()))
    return "; ".join(f"{service.title()} is {words[kind]}" for service, kind in source.items())


def _clock(address: str) -> str:
    """This machine's clock against the Date header, which needs no token."""
    try:
        told = requests.head(address, timeout=20, allow_redirects=False).headers.get("Date", "")
        service = parsedate_to_datetime(told)
    except requests.RequestException:
        raise ServiceError(
            "Wistia could not be reached. Check the network, a proxy and WISTIA_BASE_URL."
        ) from None
    except (TypeError, ValueError):
        return "the service does not tell its time"
    service = service.replace(tzinfo=UTC) if service.tzinfo is None else service
    seconds = (clock.now() - service).total_seconds()
    if abs(seconds) > CLOCK_SECONDS:
        way = "ahead of" if seconds > 0 else "behind"
        raise KitError(
            f"This machine's clock is {abs(seconds):,.0f} s {way} the service's. Days would be "
            "cut in the wrong place. Set it (timedatectl set-ntp true) and run again."
        )
    return f"within {max(1, abs(seconds)):.0f} s of the service's"


def _wistia(visit: Run) -> Iterator[str]:
    per_minute = visit.settings.requests_per_minute
    service = Wistia(*visit.wistia_address(), per_minute=per_minute)
    window = visit.window
    with closing(service):
        scopes = service.scopes()
        if scopes:
            yield f"the token may read: {', '.join(sorted(scopes))}"
        asked = {"start": window.start, "end": window.end}
        visitors = last_page(lambda page: not service.visitors(page).is_empty)
        sessions = last_page(lambda page: not service.sessions(page, **asked).is_empty)
        if not scopes:
            yield "visitors and sessions can be read; the service does not tell more of the token"
        try:
            service.medias(1)
            yield "videos can be read"
        except AccessError:
            yield "videos cannot be read: their lengths and folders will be unknown"
    rows = service.per_page
    pages = visitors + sessions
    yield (
        f"up to {visitors * rows:,} visitors and {sessions * rows:,} sessions in "
        f"{window.start} to {window.end}"
    )
    stored = len(visit.store.days())
    yield (
        f"a first pull takes about {pages:,} requests, {max(1, round(pages / per_minute))} min at "
        f"{per_minute} a minute" + (f"; {stored:,} days are stored already" if stored else "")
    )


def last_page(exists: Callable[[int], bool]) -> int:
    """Number of the last page there is, found by doubling and halving; 0 when there is none."""
    above = 1
    while exists(above):
        above *= 2
    low, high = above // 2, above
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exists(middle) else (low, middle)
    return low


def _mavera(visit: Run) -> Iterator[str]:
    client = Client("Mavera", *visit.mavera_address(), token_setting="MAVERA_API_KEY")
    with client:
        usage = Mavera(client).usage()
    left = "unknown" if usage.remaining is None else f"{usage.remaining:,}"
    yield f"the key is good; credits used: {usage.used:,}, left: {left}"
    most = 5 * KINDS["persona"].price + KINDS["mave"].price
    yield f"a first run of five personas and one question costs at most {most:,} credits"
    if usage.auto_recharge:
        yield "auto-recharge is on: Mavera buys credits by itself when they run low"


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
    visit = _visit(settings)
    dates = {"start_date": f"{visit.window.start}", "end_date": f"{visit.window.end}"}
    page = {"page": 1, "per_page": 100}
    queries = {"/v1/stats/events.json": dates | page, "/usage": {}, "/modern/token": {}}
    wistia = Client("Wistia", *visit.wistia_address())
    mavera = Client("Mavera", *visit.mavera_address(), token_setting="MAVERA_API_KEY")
    found, findings = [], []
    with wistia, mavera:
        for client, paths in ((wistia, contract.WISTIA), (mavera, contract.MAVERA)):
            usual = page if client is wistia else {"limit": 100}
            for path, shape in paths.items():
                finding, rows = _compared(client, path, queries.get(path, usual), shape)
                findings.append(finding)
                found += [{"service": client.service, **row} for row in rows]
    content = {
        "schema_version": 1,
        "checked_at": clock.now().isoformat(timespec="seconds"),
        "source": asdict(visit.source),
        "differences": found,
    }
    files.write_json(settings.outputs / "contract.json", content)
    stop_sandboxes()
    return findings


def _compared(
    client: Client, path: str, query: dict[str, Any], shape: contract.Shape
) -> tuple[Finding, list[dict[str, Any]]]:
    name = client.service.lower()
    try:
        answer = client.get(path, query, expect=shape.kind, attempts=3)
    except KitError as error:
        relied = path not in contract.DISPENSABLE
        row = {"path": path, "key": "(the answer)", "expected": "an answer", "rows": 1}
        return Finding(name, str(error), error if relied else None), [{**row, "relied_on": relied}]
    rows = contract.differences(path, answer, shape) + contract.order(path, answer)
    broken = [row for row in rows if row["relied_on"]]
    count = len(shape.rows(answer) or [])
    if not broken:
        return Finding(name, f"{path}: {count} rows as relied on; {len(rows)} new keys"), rows
    keys = ", ".join(f"{row['key']} (expected {row['expected']})" for row in broken[:3])
    error = DataError(
        f"{client.service}: the answer of GET {path} is not as the kit relies on: {keys}. "
        "contract.json in the outputs folder lists all of it, without values; send it with a "
        "report of the fault."
    )
    return Finding(name, str(error), error), rows
