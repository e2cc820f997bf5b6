"""Parameters of a run: their kinds, their checks, and the window they name."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from helpers.core import clock
from helpers.core.errors import ParameterError

DEFAULTS: dict[str, Any] = {
    "run": "", "run_date": "", "start_date": "", "end_date": "", "source": "auto",
    "max_credits": 0, "clusters_file": "", "media_ids": [], "exclude_domains": [],
    "time_zone": "UTC", "min_cell": 10, "show_identities": False, "ask_personas": False,
    "seed": 0, "full_sweep": False,
}  # fmt: skip
SECRET_LIKE = re.compile(r"token|secret|passw|api_?key|credential|bearer|(^|_)key$", re.I)
RUN_NAME = re.compile(r"(dev|\d{4}-\d{2}-\d{2}(\.([2-9]|10))?)\Z")
WINDOW_DAYS = 730


@dataclass(frozen=True)
class Window:
    """First and last UTC day that counts, inclusive, and the day the window was reckoned from."""

    start: date
    end: date
    as_of: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    def as_dict(self) -> dict[str, str]:
        return {
            "start_date": self.start.isoformat(),
            "end_date": self.end.isoformat(),
            "as_of": self.as_of.isoformat(),
        }

    @classmethod
    def from_dict(cls, known: dict[str, str]) -> Window:
        return cls(*(date.fromisoformat(known[k]) for k in ("start_date", "end_date", "as_of")))


def day(name: str, text: str) -> date:
    """A parameter's UTC day, from ISO 8601 text.

    Raises
    ------
    ParameterError
        The text is no such day.
    """
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise ParameterError(
            f"Parameter {name}: {text!r} is not a day. Expected ISO 8601, such as 2026-06-30."
        ) from None


def window(
    *, run_date: str = "", start_date: str = "", end_date: str = "", sandbox: bool = False
) -> Window:
    """The window that the parameters name.

    Empty end: the day before run_date, which the sandbox's fixed calendar puts on its last day.
    Empty start: 729 days before the end. Given dates are never clamped.

    Raises
    ------
    ParameterError
        A date is malformed, or the end comes before the start.
    """
    born = day("run_date", run_date) if run_date else clock.today()
    as_of = clock.SANDBOX_LAST_DAY + timedelta(days=1) if sandbox else born
    end = day("end_date", end_date) if end_date else as_of - timedelta(days=1)
    start = day("start_date", start_date) if start_date else end - timedelta(days=WINDOW_DAYS - 1)
    if end < start:
        raise ParameterError(
            f"Window: end_date {end} comes before start_date {start}. "
            "Give an end_date on or after the start_date."
        )
    return Window(start, end, as_of)


def bare_domain(text: str) -> str:
    """A domain as it is compared: lower case, without the @ that may stand before it."""
    return text.strip().lstrip("@").lower()


def nearest(name: str, known: list[str]) -> str:
    """`` Did you mean 'x'?``, or nothing when no name is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def check(values: dict[str, Any], *, where: str = "The run") -> dict[str, Any]:
    """Check names, types and forms; return the values with their types.

    Parameters
    ----------
    values : dict
        Name to value, typed as in the notebooks' parameters cells.
    where : str
        What is being given the parameters, for the message.

    Raises
    ------
    ParameterError
        Unknown name, a name that sounds like a secret, wrong type or malformed value.
    """
    known = list(DEFAULTS)
    for name, value in values.items():
        if name not in DEFAULTS:
            if SECRET_LIKE.search(name):
                raise ParameterError(
                    f"{where}: a parameter named {name!r} sounds like a secret, and parameters are "
                    "written into the notebooks. Put secrets into the environment or .env."
                )
            raise ParameterError(
                f"{where} has no parameter {name!r}.{nearest(name, known)} "
                f"It has: {', '.join(known)}."
            )
        _check_kind(name, value, where)
    _check_forms(values, where)
    return dict(values)


def _check_kind(name: str, value: Any, where: str) -> None:
    default = DEFAULTS[name]
    right = type(value) is type(default)
    if right and isinstance(default, list):
        right = all(isinstance(item, str) for item in value)
    if not right:
        kind = "a list of str" if isinstance(default, list) else type(default).__name__
        raise ParameterError(
            f"{where}: parameter {name} is {value!r}, a {type(value).__name__}.",
            expected=f"{kind}, such as {default!r}",
        )


def _check_forms(values: dict[str, Any], where: str) -> None:
    for name in ("run_date", "start_date", "end_date"):
        if values.get(name):
            day(name, values[name])
    if values.get("source", "auto") not in ("auto", "live", "sandbox"):
        raise ParameterError(
            f"{where}: source is {values['source']!r}. Expected auto, live or sandbox."
        )
    for name, least in (("max_credits", 0), ("min_cell", 1), ("seed", 0)):
        if values.get(name, least) < least:
            raise ParameterError(
                f"{where}: {name} is {values[name]}. Expected a number of {least} or more."
            )
    if values.get("run") and not RUN_NAME.match(values["run"]):
        raise ParameterError(
            f"{where}: run is {values['run']!r}. Expected a run folder's name, such as 2026-06-30 "
            "or 2026-06-30.2, or nothing."
        )
    if "time_zone" in values:
        try:
            ZoneInfo(values["time_zone"])
        except (KeyError, ValueError, OSError):  # the key may be unknown, malformed or a folder
            raise ParameterError(
                f"{where}: time_zone is {values['time_zone']!r}. Expected an IANA name, "
                "such as UTC or Europe/Berlin."
            ) from None
