"""A few lines to Slack, Teams, mail or a webhook when a run ends: no person, no key."""

import sys
from pathlib import Path

from helpers.batch import summary
from helpers.core import privacy
from helpers.core.settings import Settings


def send(settings: Settings, folder: Path) -> None:
    """Tell what became of a run, where ``VIEWER_PERSONAS_NOTIFY`` names an Apprise address.

    A message that cannot be sent is a warning; the run's outcome stays what it is.
    """
    if settings.notify is None:
        return
    reason = "the message could not be sent. Look at the address and the network"
    title, *lines = summary.tell("message", folder)
    body = privacy.plain("\n".join(lines), folder)  # it leaves this machine
    try:
        import apprise

        messenger, address = apprise.Apprise(), settings.notify.get_secret_value()
        is_sent = messenger.add(address) and messenger.notify(title=title, body=body)
    except ImportError:
        is_sent, reason = False, "Apprise is not installed: pip install -e '.[notify]'"
    if not is_sent:
        print(f"Warning: VIEWER_PERSONAS_NOTIFY: {reason}.", file=sys.stderr)
