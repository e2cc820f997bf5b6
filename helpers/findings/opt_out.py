"""The opt-out list: people and companies that nobody may call or write to."""

import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import unquote

from helpers.core import privacy
from helpers.core.errors import ParameterError
from helpers.core.owner import read_owner_text

OPT_OUT = "opt_out.txt"
_LABEL = r"[^\W_](?:[\w-]*[^\W_])?"
DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?:xn--[\w-]+|[^\W\d_]{{2,}})")
ADDRESS = re.compile(rf"[^\s@<>()\[\],;:\"*]+@{DOMAIN.pattern}")


def read_opt_out(path: Path) -> frozenset[str]:
    """E-mails and domains that must not be contacted; none where there is no such file.

    Parameters
    ----------
    path : Path
        A text file in UTF-8: an e-mail or a domain a line; ``#`` begins a comment. Of a line that
        is more than an address (a name, ``mailto:``, a list with commas) every address counts.

    Returns
    -------
    frozenset of str
        Lower case. A domain stands for all its addresses and those of its sub-domains.

    Raises
    ------
    ParameterError
        The file cannot be read, or a line has neither an address nor a domain, or a broken one.
    """
    text = read_owner_text(path, "Opt-out list") if os.path.lexists(path) else ""
    lines = enumerate(text.splitlines(), 1)
    entries = (_entries(line, where=f"{path.name}, line {number}") for number, line in lines)
    return frozenset().union(*entries)


def is_opted_out(email: str, opt_out: frozenset[str]) -> bool:
    """Whether an e-mail, its domain or a domain above that is on the list."""
    person = email.strip().lower()
    parts = person.rpartition("@")[2].split(".")
    above = {".".join(parts[place:]) for place in range(len(parts))}
    return person in opt_out or not above.isdisjoint(opt_out)


def _entries(line: str, *, where: str) -> set[str]:
    """Addresses and domains of a line; words beside an address are a name."""
    plain = privacy.clean_text(unicodedata.normalize("NFKC", line)).lower()
    plain = re.sub(r"(^|\s)#.*", "", plain).strip()
    found, others = set(), []
    for word in re.findall(r"[^,;<>\"\s]+", plain):
        if word.startswith("mailto:"):
            word = unquote(word.removeprefix("mailto:").partition("?")[0])
        domain = re.sub(r"^(\*?@|\*\.)", "", word)
        if ADDRESS.fullmatch(word) or DOMAIN.fullmatch(domain):
            found.add(domain)
        else:
            others.append(word)
    named = any("@" in entry for entry in found) and not any("@" in word for word in others)
    if (plain and not found) or (others and not named):
        what = "This line of the opt-out list cannot be understood."
        expected = "an e-mail such as ann@acme.example or a domain such as acme.example"
        remedy = "Correct it, or put a # before it, and run again."
        raise ParameterError(what, where=where, expected=expected, remedy=remedy)
    return found
