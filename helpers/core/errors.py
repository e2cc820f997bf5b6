"""Errors of the kit: one base class, subclasses by what the user can do about it.

An error keeps what happened, where, what was expected and what to do apart: a terminal prints one
message, a notebook shows a panel of four lines in the place of a traceback.
"""

import textwrap
from collections.abc import Callable

PANEL_WIDTH = 88  # characters, so that a panel fits beside JupyterLab's side bar

log_in_notebook: "Callable[[KitError], str] | None" = None
"""Set where a notebook is open: logs the traceback, and says where."""


class KitError(Exception):
    """Something went wrong that the kit can explain.

    Parameters
    ----------
    what : str
        What happened, as a sentence.
    where : str, optional
        File and line, request, cell or row; stands before `what` in the message.
    expected : str, optional
        What would have been right, as the end of a sentence that begins with "Expected".
    remedy : str, optional
        What to do, as one or more sentences; left out, the usual remedy of the class.
    status_code : int, optional
        HTTP status of the answer, if there was one.
    retry_after : float, optional
        Seconds the service asked to wait.
    retryable : bool
        Whether the same request may be sent again.
    """

    exit_status = 1
    usual_remedy = ""

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        remedy: str | None = None,
        status_code: int | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
    ):
        # Files and services are quoted: nothing of them may move a cursor or hide.
        self.what, self.where = _printable(what), _printable(where)
        remedy = self.usual_remedy if remedy is None else remedy
        self.expected, self.remedy = _printable(expected), _printable(remedy)
        self.status_code, self.retry_after, self.retryable = status_code, retry_after, retryable
        super().__init__(what)

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        wanted = f"Expected {self.expected.rstrip('.')}." if self.expected else ""
        return " ".join(filter(None, (first, wanted, self.remedy)))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in the place of a traceback; the class stays what runners read."""
        if not hasattr(self, "_panel"):  # IPython asks twice, and the log is written once
            fields = {
                "What": self.what,
                "Where": self.where,
                "Expected": self.expected,
                "What to do": self.remedy or "Look the message up in docs/troubleshooting.md.",
                "Traceback": log_in_notebook(self) if log_in_notebook else "",
            }
            self._panel = [f"\x1b[1;31m{type(self).__name__}\x1b[0m"]
            for label, text in fields.items():
                wrapper = textwrap.TextWrapper(PANEL_WIDTH, label.ljust(12), " " * 12)
                wrapper.break_long_words = wrapper.break_on_hyphens = False
                self._panel += wrapper.wrap(text)
        return self._panel


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)


class ParameterError(KitError):
    """Wrong use: a parameter, a file or setting of the owner, a key and address that differ."""

    exit_status = 2
    usual_remedy = "Correct it and run again."


class AccessError(KitError):
    """A key is missing or refused, or lacks a permission."""

    exit_status = 3


class ServiceError(KitError):
    """A service failed or refused, or this machine did (network, disk); run again to go on."""

    exit_status = 4
    usual_remedy = "What was fetched so far is kept; run again to go on."


class UnknownOutcome(ServiceError):
    """A POST was sent and nobody knows whether it was carried out; never send it again blindly."""

    usual_remedy = ""


class CreditError(KitError):
    """Credits: over the budget, used up, or an outcome that could not be known."""

    exit_status = 5


class LockError(KitError):
    """Another run is in progress on the same account."""

    exit_status = 6


class DataError(KitError):
    """The data broke a rule: a unit, a schema, a leak."""

    exit_status = 7


BY_NAME = {kind.__name__: kind for kind in (KitError, *KitError.__subclasses__(), UnknownOutcome)}


def explain(name: str, text: str, where: str) -> KitError:
    """The kit's own error for one that is told by its class name and its message.

    Parameters
    ----------
    where : str
        What stands before an error that is none of the kit's.
    """
    if name in BY_NAME:
        return BY_NAME[name](text, remedy="")  # it is in the text
    if "No space left on device" in text or "[Errno 28]" in text:
        remedy = "What was fetched is kept. Free some space and run again."
        return ServiceError("The disk is full.", remedy=remedy)
    first = (text.strip().splitlines() or [""])[0][:300]
    return KitError(f"{name}: {first}", where=where)
