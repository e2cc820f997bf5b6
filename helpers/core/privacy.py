"""What may be kept, shown and sent: scrubbing on intake, safe cells, the scan for leaks."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pandas as pd

from helpers.core.errors import DataError
from helpers.core.settings import project_root

UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
EMAIL = re.compile(
    r"[A-Za-z0-9._%+'-]{1,64}(?:@|%40|&#64;|&#x40;|\\u0040)"
    r"(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}"
)
HIDDEN = "(hidden)"


def _without_identifier(text: str) -> str | None:
    """Mask a piece of an address that carries an e-mail: people paste them into links."""
    plain = unquote(text).strip()
    if not plain:
        return None
    return HIDDEN if "@" in plain else plain[:300]


def page_of(embed_url: str | None) -> tuple[str | None, dict[str, str | None]]:
    """Host and path of a page, and its ``utm_*`` values; everything else is dropped.

    Parameters
    ----------
    embed_url : str or None
        Address of the page the video was embedded in, as Wistia gives it.

    Returns
    -------
    page : str or None
        ``host/path`` without scheme, user, port, query and fragment.
    utm : dict
        The five utm names; None where absent.
    """
    utm: dict[str, str | None] = dict.fromkeys(UTM)
    if not embed_url or not str(embed_url).strip():
        return None, utm
    try:
        parts = urlsplit(str(embed_url).strip())
        host = parts.hostname
    except ValueError:  # not an address: a stranger's text
        return None, utm
    if not host or parts.scheme not in ("http", "https"):
        return None, utm
    path = "/".join(_without_identifier(piece) or "" for piece in parts.path.split("/"))
    for key, value in parse_qsl(parts.query, keep_blank_values=False):
        if key in utm:
            utm[key] = _without_identifier(value)
    return (host + path).rstrip("/")[:500], utm


def relative(text: str, folder: Path | None = None) -> str:
    """Text without this machine's folders: paths start at the run, the project or ``~``."""
    outputs = folder.parent if folder else None
    places = [
        (folder, ""), (outputs, "outputs/"), (Path(sys.prefix), ".venv/"),
        (project_root(), ""), (Path(sys.base_prefix), "python/"), (Path.cwd(), ""),
        (Path.home(), "~/"),
    ]  # fmt: skip
    for place, name in places:
        for form in {str(place), str(place.resolve())} if place and str(place) != "/" else ():
            text = text.replace(f"{form}/", name)
    for form in {str(outputs), str(outputs.resolve())} - {"/"} if outputs else ():
        # named alone, as --outputs does
        text = re.sub(rf"(?<![\w.-]){re.escape(form)}(?![\w/-])", lambda _: outputs.name, text)
    return text


def plain(text: str, folder: Path | None = None) -> str:
    """Text without folders of this machine, e-mails and colours."""
    return without_emails(relative(re.sub("\x1b\\[[0-9;]*m", "", text), folder))


def without_emails(value: Any) -> Any:
    """Text, or JSON of text, in which e-mail addresses are hidden: owners and AI write them too."""
    if isinstance(value, str):
        return EMAIL.sub("(e-mail)", value)
    if isinstance(value, list):
        return [without_emails(item) for item in value]
    if isinstance(value, dict):
        return {key: without_emails(item) for key, item in value.items()}
    return value


def disarm(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every text cell disarmed that a spreadsheet would run as a formula.

    References
    ----------
    OWASP, CSV Injection: cells that start with ``= + - @``, a tab or a carriage return.
    """

    def quote(value):
        risky = isinstance(value, str) and value.lstrip(" \u00a0\ufeff")[:1] in tuple("=+-@\t\r\n")
        return "'" + value if risky else value

    safe = frame.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = safe[column].map(quote, na_action="ignore")
    return safe


def rearm(frame: pd.DataFrame) -> pd.DataFrame:
    """The texts of a frame as they were before :func:`disarm`."""
    plain = frame.copy()
    for column in plain.columns:
        if not pd.api.types.is_numeric_dtype(plain[column]):
            plain[column] = plain[column].map(
                lambda value: value[1:] if isinstance(value, str) and value[:1] == "'" else value
            )
    return plain


def scan(
    folder: Path, *, secrets: Iterable[str] = (), emails_allowed: bool = False
) -> list[tuple[str, str]]:
    """Look through a run folder for what must not be in it.

    Every html, ipynb, json, csv, log and txt file outside ``private/`` is read: secrets, heatmap
    tokens and absolute paths of this machine anywhere, e-mail addresses unless allowed.

    Returns
    -------
    list of (file name relative to ``folder``, kind of leak); never the leaked text itself.
    """
    # A word of a few letters, as one gives the sandbox for a key, stands in any text.
    texts = [text for text in secrets if len(text) >= 8 and not text.isalpha()]
    places = {Path.home(), folder.resolve().parent, folder.resolve().parent.parent} - {Path("/")}
    homes = re.compile("|".join(rf"(?<![\w.-]){re.escape(str(place))}/" for place in places))
    leaks = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or "private" in path.relative_to(folder).parts[:1]:
            continue
        if path.suffix not in {".html", ".ipynb", ".json", ".jsonl", ".csv", ".log", ".txt"}:
            continue
        text = path.read_text("utf-8", errors="replace")
        checks = {
            "a secret": any(secret in text for secret in texts),
            "a heatmap token": "public_token=" in text or "iframe_heatmap_url" in text,
            "an absolute path": bool(homes.search(text)),
            "an e-mail address": not emails_allowed and bool(EMAIL.search(_without_images(text))),
        }
        leaks += [(str(path.relative_to(folder)), kind) for kind, hit in checks.items() if hit]
    return leaks


def _without_images(text: str) -> str:
    """Drop base64 runs, which are long, slow to search and hold no address."""
    return re.sub(r"[A-Za-z0-9+/=\\n]{400,}", "", text)


def refuse_leaks(folder: Path, **options) -> None:
    """Raise DataError when :func:`scan` finds anything."""
    leaks = scan(folder, **options)
    if leaks:
        where = "; ".join(f"{kind} in {name}" for name, kind in leaks[:5])
        raise DataError(
            f"Leak found by the scan of run folder {folder.name}: {where}. Nothing personal or "
            "secret may stand there. The run is marked failed; delete the folder, do not share it."
        )
