"""Errors of the kit: one base class, subclasses by what the user can do about it."""

from __future__ import annotations


class KitError(Exception):
    """Something went wrong that the kit can explain.

    Parameters
    ----------
    message : str
        What happened, where, what was expected, what to do.
    status_code : int, optional
        HTTP status of the answer, if there was one.
    retry_after : float, optional
        Seconds the service asked to wait.
    retryable : bool
        Whether the same request may be sent again.
    """

    exit_status = 1

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
    ):
        super().__init__(message)
        self.status_code = status_code
        self.retry_after = retry_after
        self.retryable = retryable


class ParameterError(KitError):
    """Wrong use: a parameter, a clusters file, an output folder, a key and address that differ."""

    exit_status = 2


class AccessError(KitError):
    """A key is missing or refused, or lacks a permission."""

    exit_status = 3


class ServiceError(KitError):
    """A service failed or refused, or this machine did (network, disk); run again to go on."""

    exit_status = 4


class UnknownOutcome(ServiceError):
    """A POST was sent and nobody knows whether it was carried out; never send it again blindly."""


class CreditError(KitError):
    """Credits: over the budget, used up, or an outcome that could not be known."""

    exit_status = 5


class LockError(KitError):
    """Another run works on the same account."""

    exit_status = 6


class DataError(KitError):
    """The data broke a rule: a unit, a schema, a leak."""

    exit_status = 7


BY_NAME = {
    kind.__name__: kind
    for kind in (
        KitError, ParameterError, AccessError, ServiceError, UnknownOutcome, CreditError,
        LockError, DataError,
    )
}  # fmt: skip
