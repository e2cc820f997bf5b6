"""The runs of an outputs folder as lines to read."""

from collections.abc import Sequence
from pathlib import Path

from helpers.core import settings
from helpers.core.folders import Manifest, describe_state, given_parameters, newest_first
from helpers.store.store import Store

HEAD = ("run", "state", "account", "wistia", "mavera", "viewers", "credits", "window", "parameters")


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of texts as lines of plain text whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (map(str.ljust, row, widths) for row in rows)
    return ["  ".join(row).rstrip() for row in padded]


def numbers(manifest: Manifest) -> tuple[str, str]:
    """Viewers and credits of a run, a dash for what is not known."""
    viewers, spent = manifest.counts.get("viewers"), manifest.credits.get("spent")
    play = " (play)" if manifest.source.get("mavera") == "sandbox" else ""
    credits = "-" if spent is None else f"{spent:,}{play}"
    return ("-" if viewers is None else f"{viewers:,}"), credits


def list_runs(outputs: Path) -> list[str]:
    """A heading and a line for each run, newest first; else where the accounts' runs are listed."""
    runs = newest_first(outputs)
    accounts = [place for place in sorted(outputs.glob("*/")) if newest_first(place)]
    if not runs and accounts:
        return [f"Runs of {each.name}: `{settings.command('runs', each)}`." for each in accounts]
    if not runs:
        return [f"No runs yet. `{settings.command('run', outputs)}` makes one."]
    return align([HEAD, *(_row(folder, manifest) for folder, manifest in runs)])


def _row(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    store = Store(folder.parent / "store" / manifest.account)
    window = manifest.window
    return (
        folder.name,
        describe_state(manifest, store.is_held()),
        "not named" if manifest.account == "live" else manifest.account or "?",
        manifest.source.get("wistia", "?"),
        manifest.source.get("mavera", "?"),
        *numbers(manifest),
        f"{window.get('start_date', '?')} to {window.get('end_date', '?')}",
        " ".join(given_parameters(manifest)),
    )
