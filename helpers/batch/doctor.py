"""First contact: is this machine ready, what may the keys do, what will a first pull take."""

from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import requests

from helpers.batch import kernels
from helpers.core import clock, settings as settings_module
from helpers.core.errors import AccessError, KitError
from helpers.core.folders import make_outputs
from helpers.core.parameters import Parameters
from helpers.core.settings import Settings
from helpers.fetch import open_host
from helpers.personas import agent
from helpers.run import Run
from helpers.store import rules

CLOCK_SECONDS = 300
"""A clock that is off by more may put a session on another day."""
PATIENCE = 5.0
"""Seconds in which a check begins to ask again, for somebody waits for its answer; a network that
swallows everything costs so much for each."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: what was looked at, what was found, and what it means."""

    name: str
    text: str
    error: KitError | None = None

    def __str__(self) -> str:
        return f"{'ok  ' if self.error is None else 'FAIL'} {self.name:<9} {self.text}"


def examine() -> Iterator[Finding]:
    """Check kernel, outputs, keys, clock, scopes and credits; free calls only.

    Yields
    ------
    Finding
        In order, each as its check ends; a failed one carries its error and hides none of the
        others.
    """
    settings = settings_module.load()
    for check, service in CHECKS.items():
        name = check.__name__.lstrip("_")
        try:
            if not service or getattr(visit(settings).source, service) == "live":
                yield from (Finding(name, line) for line in check(settings))
        except KitError as error:
            yield Finding(name, str(error), error)
            if check is _keys:  # nobody can be asked
                return


def visit(settings: Settings) -> Run:
    """A run that is not written down: it knows the services, the window and the store."""
    return Run("doctor", settings.outputs / "doctor", settings, Parameters())


def _kernel(_: Settings) -> Iterator[str]:
    yield kernels.check_kernel()


def _outputs(settings: Settings) -> Iterator[str]:
    make_outputs(settings.outputs)
    yield f"{settings.outputs} can be written"


def _keys(settings: Settings) -> Iterator[str]:
    words = {"live": "live", "sandbox": "the sandbox, because its key is not set"}
    source = visit(settings).source
    yield f"Wistia is {words[source.wistia]}; Mavera is {words[source.mavera]}"


def _clock(settings: Settings) -> Iterator[str]:
    """This machine's clock against the Date header, which needs no token."""
    address = visit(settings).address("wistia")[0]
    try:
        answer = requests.head(address, timeout=PATIENCE, allow_redirects=False)
        seconds = (clock.now() - parsedate_to_datetime(answer.headers["Date"])).total_seconds()
    except (requests.RequestException, KeyError, TypeError, ValueError):
        return  # no answer, which the next line tells of, or no time with its zone
    if abs(seconds) > CLOCK_SECONDS:
        way = "ahead of" if seconds > 0 else "behind"
        what = f"This machine's clock is {abs(seconds):,.0f} s {way} the service's."
        remedy = "Days would be cut in the wrong place: set it (timedatectl set-ntp true)."
        raise KitError(what, remedy=remedy)
    yield f"within {max(1, abs(seconds)):.0f} s of the service's"


def _wistia(settings: Settings) -> Iterator[str]:
    """What the token may read, and what a first pull of the account will take."""
    run, per_minute = visit(settings), settings.requests_per_minute
    start, end = run.window.start, run.window.end
    with open_host(run) as service:
        service.client.DEADLINE = PATIENCE
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
        rows, pages, stored = service.per_page, visitors + sessions, len(run.store.days())
    yield f"up to {visitors * rows:,} visitors and {sessions * rows:,} sessions in {start} to {end}"
    minutes = max(1, round(pages / per_minute))
    there = f"; {stored:,} days are stored already" if stored else ""
    yield f"a first pull: {pages:,} requests, {minutes} min at {per_minute} a minute{there}"


def last_page(exists: Callable[[int], bool]) -> int:
    """Number of the last page, found by doubling and halving; 0 when there is none."""
    above = 1
    while exists(above):
        above *= 2
    between = range(above // 2 + 1, above)
    return above // 2 + bisect(between, False, key=lambda page: not exists(page))


def _mavera(settings: Settings) -> Iterator[str]:
    service = agent.Account(visit(settings)).mavera
    service.client.DEADLINE = PATIENCE
    usage = service.usage()
    left = "unknown" if usage.remaining is None else f"{usage.remaining:,}"
    yield f"the key is good; credits used: {usage.used:,}, left: {left}"
    clusters = len(rules.load().names)
    most = clusters * agent.KINDS["persona"].price + agent.KINDS["mave"].price
    yield f"a first run of {clusters} personas and one question costs at most {most:,} credits"
    if usage.auto_recharge:
        yield "auto-recharge is on: Mavera buys credits by itself when they run low"


CHECKS = {_kernel: "", _outputs: "", _keys: "", _clock: "wistia", _wistia: "wistia"}
CHECKS |= {_mavera: "mavera"}
"""What is looked at, in this order, under the function's name; and the service that has to be live
for it."""
