"""Answers of a service as the kit reads them: what may be wrong in them, and what is relied on."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError, ValidationInfo, WrapValidator

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
"""Annotates a field that the kit can do without: it is None where it has a wrong form."""


@dataclass(frozen=True)
class Shape:
    """What the kit relies on in the answer of a path.

    Attributes
    ----------
    model : type of BaseModel
        Of the answer, or of each row of a list.
    rows : str
        Where the rows stand: ``"[]"`` in the answer itself, else below this key; "" for no list.
    query : dict
    needed : bool
        Whether the kit cannot go on without.
    newest_first : str
        Name of the time that rows come in order of, newest first.
    """

    model: type[BaseModel]
    rows: str = ""
    query: dict[str, Any] = field(default_factory=dict)
    needed: bool = True
    newest_first: str = ""
