"""The message at the end of a run: sent once, and no reason to fail."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers.batch import notify, runner
from helpers.core.errors import KitError
from notebooks import no_kernels, plain_report, write  # noqa: F401

WORDS = {"source": "sandbox", "run_date": "2026-07-01"}
pytestmark = pytest.mark.usefixtures("no_kernels")


@pytest.fixture
def webhook(monkeypatch):
    """The messages that a webhook on this machine is sent; the settings name its address."""
    messages: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"json://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("VIEWER_PERSONAS_NOTIFY", address)
    yield messages
    server.shutdown()


def test_success_and_failure_are_told_once_each(tmp_path, webhook, monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_SANDBOX", "http://127.0.0.1:9")
    counted = "run.record(counts={'viewers': 1218})"
    runner.run(WORDS, stages="1", notebooks=write(tmp_path / "a", s1=counted))
    with pytest.raises(KitError):
        runner.run(WORDS, stages="1", notebooks=write(tmp_path / "b", s1="{}['ann@example.com']"))
    good, bad = webhook
    assert good["title"] == "Viewer personas of sandbox: run 2026-07-01 done"
    assert "Viewers: 1,218" in good["message"]
    assert bad["title"] == "Viewer personas of sandbox: run 2026-07-01.2 failed"
    assert "KeyError" in bad["message"] and "run --resume 2026-07-01.2" in bad["message"]
    assert "ann@example.com" not in bad["message"]


@pytest.mark.parametrize("address", ["json://127.0.0.1:9", "no address"])
def test_a_message_that_cannot_be_sent_is_a_warning(bare_environment, monkeypatch, capsys, address):
    monkeypatch.setenv("VIEWER_PERSONAS_NOTIFY", address)
    notify.send(runner.settings_module.load(), bare_environment / "2026-07-01")
    said = "Warning: VIEWER_PERSONAS_NOTIFY: the message could not be sent"
    assert capsys.readouterr().err.startswith(said)
