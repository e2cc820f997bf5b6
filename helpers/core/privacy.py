"""What may be kept, shown and sent: scrubbing on intake, safe cells, the scan for leaks."""

import html
import json
import re
import sys
import traceback
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from helpers.core.errors import DataError, KitError

if TYPE_CHECKING:
    import pandas as pd

UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
EMAIL = re.compile(
    r"[\w.%+'-]{1,64}(?:@|＠|%40|&#64;|&#x40;|\\u0040)(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}"
)
INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of control, bidirectional and zero-width characters, and broken ones."""
BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Letters and marks that show nothing."""
SIGNS = "=+@＝＋＠﹦﹢﹫−－﹣-"
"""What starts a formula, in all widths; the minus comes last, for it stands in a set."""
_FORMULA = re.compile(rf"""(^|[;|"])('*)(?=\s*[{SIGNS}])""")
_DISARMED = re.compile(rf"""(^|[;|"])'('*)(?=\s*[{SIGNS}])""")
_UNUSUAL = r"""[^ -~À-ÿ“”]|(?:^|[;|"])'* *[=+@-]"""  # in signs that pyarrow takes as re does
PIECE = 12  # characters of a key that are found wherever they stand; no two texts share so many


def project_root() -> Path:
    """Folder that holds ``notebooks/``: the installed project's, else the working directory."""
    home = Path(__file__).resolve().parents[2]
    return home if (home / "notebooks").is_dir() else Path.cwd()


@lru_cache(1024)
def page_of(embed_url: str) -> dict[str, str | None]:
    """Host and path of a page, and its ``utm_*`` values; everything else is dropped.

    Parameters
    ----------
    embed_url : str
        Address of the page the video was embedded in, as Wistia gives it.

    Returns
    -------
    dict
        ``page`` (``host/path`` without scheme, user, port, query and fragment) and the five utm
        names; None where absent.
    """
    read: dict[str, str | None] = dict.fromkeys(("page", *UTM))
    try:
        parts = urlsplit(embed_url.strip())
    except ValueError:  # not an address: a stranger's text
        return read
    if not parts.hostname or parts.scheme not in ("http", "https"):
        return read
    path = "/".join(_without_identifier(piece) or "" for piece in parts.path.split("/"))
    utm = {key: _without_identifier(text) for key, text in parse_qsl(parts.query) if key in UTM}
    return read | utm | {"page": (parts.hostname + path).rstrip("/")[:500]}


def _without_identifier(text: str) -> str | None:
    """Mask a piece of an address that carries an e-mail: people paste them into links."""
    plain = clean_text(unquote(text)).strip()
    return "(hidden)" if "@" in plain or "＠" in plain else plain[:300] or None


def clean_text(text: str) -> str:
    """Text from outside without what can't be seen: control, bidirectional, zero-width characters.

    Line ends become ``\\n``, and they and tabs stay.
    """
    if text.isprintable() and (text.isascii() or not any(blank in text for blank in BLANKS)):
        return text
    lines = re.sub("\r\n?|[\u2028\u2029]", "\n", text)
    hidden = {sign for sign in lines if unicodedata.category(sign) in INVISIBLE} - {"\n", "\t"}
    return "".join(sign for sign in lines if sign not in hidden and sign not in BLANKS)


def clean_line(text: str, length: int) -> str:
    """One line of plain text: no control or invisible characters, no e-mail, ``length`` at most."""
    plain = " ".join(without_emails(clean_text(str(text))).split())
    return plain if len(plain) <= length else plain[: length - 1].rstrip() + "…"


def relative(text: str, folder: Path) -> str:
    """Text without this machine's folders: paths start at the run, the project or ``~``."""
    places = [
        (folder, ""),
        (folder.parent, "outputs/"),
        (Path(sys.prefix), ".venv/"),
        (project_root(), ""),
        (Path(sys.base_prefix), "python/"),
        (Path.cwd(), ""),
        (Path.home(), "~/"),
    ]
    for place, name in places:
        for form in _spellings(place):
            text = text.replace(f"{form}/", name)
    for form in _spellings(folder.parent):  # named alone, as --outputs does
        alone = rf"(?<![\w.-]){re.escape(form)}(?![\w/-])"
        text = re.sub(alone, lambda _: folder.parent.name, text)
    return text


def _spellings(place: Path) -> set[str]:
    """A folder as texts, JSON, pages and links write it."""
    return {
        form
        for path in {str(place), str(place.resolve())} - {"/"}
        for as_json in (json.dumps(path), json.dumps(path, ensure_ascii=False))
        for form in (path, as_json[1:-1], html.escape(path), quote(path))
    }


def plain(text: str, folder: Path) -> str:
    """Text for a log: without colours, what can't be seen, folders of this machine and e-mails."""
    return without_emails(relative(clean_text(re.sub("\x1b\\[[0-9;]*m", "", text)), folder))


def traceback_of(error: BaseException) -> str:
    """A traceback for a log: what errors of others quote may be a person's, and is left out."""
    text = "".join(traceback.format_exception(error)).rstrip()
    step: BaseException | None = error
    while step:
        if (message := str(step)) and not isinstance(step, KitError):
            text = text.replace(message, re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "'…'", message))
        step = step.__cause__ or step.__context__
    return text


def without_emails(value: Any) -> Any:
    """Text, or JSON of text, in which e-mail addresses are hidden: owners and AI write them too."""
    if isinstance(value, str):
        return EMAIL.sub("(e-mail)", value)
    if isinstance(value, list):
        return [without_emails(item) for item in value]
    if isinstance(value, dict):
        return {key: without_emails(item) for key, item in value.items()}
    return value


def disarm(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame with no text cell that a spreadsheet would run as a formula, on one line each.

    A sign that starts a cell, or what a program with other separators takes for a cell, gets an
    apostrophe before it; :func:`rearm` takes it away.

    References
    ----------
    OWASP, CSV Injection.
    """
    on_a_line = str.maketrans("\n\t", "  ")
    return _map_texts(frame, lambda t: _FORMULA.sub(r"\1'\2", clean_text(t).translate(on_a_line)))


def rearm(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The texts of a frame as they were before :func:`disarm`."""
    return _map_texts(frame, lambda text: _DISARMED.sub(r"\1\2", text))


def _map_texts(frame: "pd.DataFrame", change: Callable[[str], str]) -> "pd.DataFrame":
    changed = frame.copy()
    for place, kind in enumerate(frame.dtypes):
        if kind.kind == "O":
            texts = frame.iloc[:, place]
            found = texts.str.contains(_UNUSUAL, na=False)  # few of a long list
            changed.isetitem(place, texts.mask(found, texts[found].map(change)))
    return changed


def leaks_in(
    text: str, *, secrets: Iterable[str] = (), places: Iterable[Path] = (), emails: bool = False
) -> list[str]:
    """Kinds of what must not stand in a text: secrets, heatmap tokens, paths, e-mail addresses.

    Parameters
    ----------
    secrets : iterable of str
        Keys; any 12 characters of one, in any case, are a leak. Shorter keys count as a whole,
        unless they are a plain word, as one gives the sandbox.
    places : iterable of Path
        Folders of this machine.
    emails : bool
        Whether e-mail addresses may stand in it.
    """
    lower = text.lower()
    keys = [key.lower() for key in secrets]
    pieces = {key[n : n + PIECE] for key in keys for n in range(len(key) - PIECE + 1)}
    pieces |= {key for key in keys if 8 <= len(key) < PIECE and not key.isalpha()}
    paths = "|".join(re.escape(form) for place in places for form in _spellings(place))
    # Images are long base64 runs, slow to search, and hold no address.
    words = re.sub(r"[A-Za-z0-9+/=\\n]{400,}", "", text)
    found = {
        "a secret": any(piece in lower for piece in pieces),
        "a heatmap token": "public_token=" in text or "iframe_heatmap_url" in text,
        "an absolute path": paths and re.search(rf"(?<![\w.-])(?:{paths})/", text),
        "an e-mail address": not emails and EMAIL.search(words),
    }
    return [kind for kind in found if found[kind]]


def refuse_leaks(folder: Path, *, secrets: Iterable[str] = (), emails: bool = False) -> None:
    """Look through a run folder for what must not be in it.

    Every file outside ``private/`` but Parquet is read, spreadsheets and archives unpacked.

    Raises
    ------
    DataError
        Something is there; the message names the files and never repeats it.
    """
    secrets, home = list(secrets), folder.resolve()
    places = {Path.home(), home.parent, home.parent.parent} - {Path("/")}
    leaks: dict[str, None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] == "private" or path.suffix == ".parquet" or not path.is_file():
            continue
        for text in read_texts(path):
            kinds = leaks_in(text, secrets=secrets, places=places, emails=emails)
            leaks |= dict.fromkeys(f"{kind} in {name}" for kind in kinds)
    if leaks:
        what = f"Leak found by the scan: {'; '.join([*leaks][:5])}."
        remedy = "The run is marked failed; delete the folder, do not share it."
        raise DataError(what, where=f"Run folder {folder.name}", remedy=remedy)


def read_texts(path: Path) -> list[str]:
    """What a file holds, as text."""
    pieces = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            pieces = list(map(archive.read, archive.namelist()))
    # Without its zeros UTF-16 reads as what it says.
    return [piece.replace(b"\0", b"").decode("utf-8", "replace") for piece in pieces]
