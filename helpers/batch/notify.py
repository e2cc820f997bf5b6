"""A few lines to Slack, Teams, mail or a webhook when a run ends: no person, no key."""

from __future__ import annotations

import sys
from pathlib import Path

from helpers.batch import summary
from helpers.core import files, privacy
from helpers.core.folders import read_manifest
from helpers.core.settings import Settings


def send(settings: Settings, folder: Path) -> None:
    """Tell what became of a run, where ``VIEWER_PERSONAS_NOTIFY`` names an Apprise address.

    A message that cannot be sent is a warning; the run's outcome stays what it is.
    """
    if settings.notify is None:
        return
    try:
        import apprise
    except ImportError:
        _warn("Apprise is not installed. Install it with pip install -e '.[notify]'")
        return
    messenger = apprise.Apprise()
    good = messenger.add(settings.notify.get_secret_value())
    title, body = compose(folder)
    if not good or not messenger.notify(title=title, body=body):
        _warn("the message could not be sent. Look at the address and the network")


def _warn(reason: str) -> None:
    print(f"Warning: VIEWER_PERSONAS_NOTIFY: {reason}.", file=sys.stderr)


def compose(folder: Path) -> tuple[str, str]:
    """Title and text of the message: counts and clusters, or what failed and how to go on."""
    manifest = read_manifest(folder)
    account = "" if manifest.account == "live" else f" of {manifest.account}"
    title = f"Viewer personas{account}: run {folder.name} {manifest.status}"
    if manifest.status != "done":
        error = manifest.model_extra.get("error") or {}
        lines = [error.get("message", "The run did not end."), "To go on:"]
        return title, "\n".join([*lines, f"viewer-personas run --resume {folder.name}"])
    lines = [f"Viewers: {manifest.counts.get('viewers', 0):,}"]
    clusters = folder / "data" / "clusters.csv"
    if clusters.is_file():
        table = files.read_csv(clusters)
        lines += [f"{row.cluster}: {row.viewers:,}" for row in table.itertuples()]
    lines += summary.headlines(folder)
    lines.append(f"Report: {folder.name}/report.html")
    return title, privacy.without_emails("\n".join(lines))
