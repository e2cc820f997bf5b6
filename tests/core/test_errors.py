"""Errors: a message of fields; in a notebook one panel, and the traceback in the run's log."""

import re
from pathlib import Path

import pytest

from helpers.core import errors, files
from helpers.core.errors import AccessError, KitError, ParameterError, ServiceError

REFUSED = AccessError(
    "401 on GET /v1/stats/events.json: token refused.",
    where="Wistia, 2026-10-03, page 3",
    expected='a token with "Read detailed stats"',
    remedy="Set WISTIA_API_TOKEN in .env and run again; what was fetched is kept.",
)


@pytest.fixture
def dev(bare_environment, monkeypatch) -> Path:
    """A notebook that works in dev; only one that opened a run has a log."""
    monkeypatch.setattr(errors, "log_in_notebook", None)
    files.log_errors("01_fetch", bare_environment / "dev")
    return bare_environment / "dev"


def lines(error: BaseException) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", "\n".join(error._render_traceback_()))


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_a_message_says_where_what_expected_and_what_to_do():
    assert str(REFUSED) == (
        "Wistia, 2026-10-03, page 3: 401 on GET /v1/stats/events.json: token refused. Expected a "
        'token with "Read detailed stats". Set WISTIA_API_TOKEN in .env and run again; what was '
        "fetched is kept."
    )
    assert str(KitError("Something else.")) == "Something else."


def test_the_panel_has_a_line_for_each_field_and_for_the_log(dev):
    text = lines(raised(REFUSED))
    assert text.splitlines()[0] == "AccessError"
    for name in ("What", "Where", "Expected", "What to do", "Traceback"):
        assert re.search(rf"^{name} +\S", text, re.M), name
    assert re.search(r"^Where +Wistia, 2026-10-03, page 3$", text, re.M)
    assert re.search(r"^Traceback +outputs/dev/run\.log$", text, re.M)
    assert max(map(len, text.splitlines())) <= errors.PANEL_WIDTH
    assert "docs/troubleshooting.md" in lines(KitError("An error without advice."))


def test_the_log_has_the_traceback_once_and_nothing_personal(dev):
    row = ValueError("could not convert string to float: 'Ann Smith'")
    error = raised(ParameterError(f"{dev.parent}/x of ann@example.com\u202e is odd."), row)
    assert lines(error) == lines(error), "IPython asks twice"
    log = (dev / "run.log").read_text("utf-8")
    assert log.count("Traceback (most recent call last)") == 1
    assert "could not convert string to float: '…'" in log
    for personal in ("ann@example.com", "Ann Smith", str(dev.parent), "\u202e"):
        assert personal not in log


def test_an_outputs_folder_that_cannot_be_written_hides_no_error(dev):
    dev.parent.write_text("a file in its place")
    text = lines(raised(KitError("Something else.")))
    assert "Something else." in text and "run.log" not in text


def test_an_error_of_the_kit_told_by_its_name_keeps_its_class_and_words():
    found = errors.explain("AccessError", "Refused. There.", "01_fetch")
    assert isinstance(found, AccessError) and str(found) == "Refused. There."


def test_other_errors_become_one_line_with_the_stage():
    found = errors.explain("ValueError", "first\nsecond", "02_enrich")
    assert str(found) == "02_enrich: ValueError: first" and found.exit_status == 1
    full = errors.explain("OSError", "[Errno 28] No space left on device: 'x'", "01_fetch")
    assert isinstance(full, ServiceError) and "disk is full" in str(full)
