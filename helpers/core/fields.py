"""A field of a service's answer that may have any form: read as None where it has a wrong one."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError, ValidationInfo, WrapValidator

TELL = {"tell": True}
"""Context of a validation that is to tell every wrong form, such as ``doctor --contract``."""


def _or_none(value: Any, check: Any, info: ValidationInfo) -> Any:
    try:
        return check(value)
    except ValidationError:
        if info.context is TELL:
            raise
        return None


Unsure = WrapValidator(_or_none)
"""Annotates a field that the kit can do without."""
