"""insights.json: every part, plain numbers, nobody's name; private files beside it."""

import json
import re
import shutil
import stat
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup

from helpers import cluster, enrich
from helpers.core.errors import DataError
from helpers.core.files import write_json
from helpers.findings import insights
from helpers.run import Run
from tests.test_enrich import new_run, session, visitor  # noqa: F401
from tests.viewing import drawn

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "03_cluster.ipynb"
KNOWN = [visitor(f"p{n}", email=f"p{n}@acme.example", name="Ann Lee") for n in range(90)]


def viewing(seed, viewers=300):
    """Sessions of known kinds in June 2026, as rows of the store."""
    frame, _ = drawn(viewers, np.random.default_rng(seed))
    columns = ["event_key", "visitor_key", "media_id", "received_at", "percent_viewed"]
    rows = frame[columns].itertuples(index=False)
    return [
        session(r.event_key, str(r.visitor_key), str(r.media_id), r.received_at.to_pydatetime(),
                r.percent_viewed)
        for r in rows
    ]  # fmt: skip


def clustered(new_run, sessions, visitors=(), **given):  # noqa: F811
    enrich.features(new_run(sessions, visitors))
    run = Run.open("03_cluster", source="sandbox", **given)
    cluster.assign(run)
    return run


def parts_of(part):
    yield part
    for piece in (part.get("more") or part.get("parts") or {}).values():
        yield from parts_of(piece)


def check_form(found):
    assert found == json.loads(json.dumps(found, allow_nan=False))
    for name in insights.PARTS:
        for part in parts_of(found[name]):
            assert set(part) >= {"finding", "rows", "columns", "note"}
            assert part["finding"].strip()[-1:] in ".)"
            assert "nan" not in part["finding"].lower().split()
            assert all(list(row) == list(part["columns"]) for row in part["rows"])


def test_every_part_is_there_in_one_form_and_names_nobody(new_run):  # noqa: F811
    run = clustered(new_run, viewing(1), KNOWN)
    found = insights.write(run)
    check_form(found)
    assert found == insights.read(run)
    text = run.data("insights.json").read_text("utf-8")
    assert not any(secret in text for secret in ("@", "Ann", "acme", '"p1'))
    assert list(insights.findings(found).index) == list(insights.PARTS)
    private = sorted(path.name for path in run.private("").iterdir())
    assert "outreach_binge_watchers.csv" in private and "companies.csv" in private
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in run.private("").iterdir())
    assert run.data("affinity.csv").is_file()


def test_the_same_run_gives_the_same_insights_again(new_run):  # noqa: F811
    run = clustered(new_run, viewing(2, 120), KNOWN)
    assert insights.write(run) == insights.write(Run.open("03_cluster", source="sandbox"))


def test_the_opt_out_list_of_the_outputs_folder_is_honoured(new_run):  # noqa: F811
    run = clustered(new_run, viewing(3, 120), KNOWN)
    (run.settings.outputs / "opt_out.txt").write_text("acme.example\n")
    found = insights.write(run)
    assert found["people"]["finding"].startswith("Everybody identified is on the opt-out list")
    assert "acme" not in run.private("outreach_bouncers.csv").read_text()


def test_anonymous_one_session_traffic_gets_whole_sentences(new_run):  # noqa: F811
    rng, at = np.random.default_rng(4), "2026-06-20T10:00:00"
    sessions = [
        session(f"e{n}", f"k{n}", "m1", at, p) for n, p in enumerate(rng.beta(0.4, 0.4, 250))
    ]
    found = insights.write(clustered(new_run, sessions))
    check_form(found)
    assert "no clusters of their own: 100" in found["discovery"]["finding"]
    assert "cannot be tested" in found["stability"]["finding"]
    assert "Nobody is identified" in found["people"]["finding"]
    assert found["coverage"]["finding"].startswith("100\u00a0% of 250 viewers are anonymous")
    assert found["discovery"]["more"]["finishers"]["figures"]["viewers"] > 0


def test_no_viewers_get_whole_sentences(new_run):  # noqa: F811
    run = clustered(new_run, [session("e", "a", "m1", "2019-01-01T10:00:00", 0.5)])
    found = insights.write(run)
    check_form(found)
    assert found["coverage"]["finding"] == "No viewer had a session in the window."
    shown = re.findall(r'found((?:\["\w+"\])+)', NOTEBOOK.read_text("utf-8").replace('\\"', '"'))
    assert len(shown) > 5
    for text in shown:
        part = found
        for key in re.findall(r"\w+", text):
            part = part[key]  # the notebook finds every part that it shows


def test_before_the_clusters_are_named_there_are_no_insights(new_run):  # noqa: F811
    enrich.features(new_run(viewing(5, 20)))
    with pytest.raises(DataError, match=r"viewers\.parquet is not there.*03_cluster"):
        insights.write(Run.open("03_cluster", source="sandbox"))


def as_done(run, name, **changes):
    """The work of dev as a finished run."""
    folder = run.settings.outputs / name
    shutil.copytree(run.folder, folder)
    manifest = json.loads((folder / "run.json").read_text()) | {"status": "done"}
    changed = {key: {**manifest[key], **value} for key, value in changes.items()}
    write_json(folder / "run.json", {**manifest, **changed})


def test_the_run_before_is_compared(new_run):  # noqa: F811
    run = clustered(new_run, viewing(6))
    assert "news" not in insights.write(run)["change"]["parts"]
    as_done(run, "2026-06-20", window={"end_date": "2026-06-19"})
    other = {"window": {"end_date": "2026-06-21"}, "source": {"wistia": "live", "mavera": "live"}}
    again = clustered(new_run, viewing(6))
    news = insights.write(again)["change"]["parts"]["news"]
    assert "run 2026-06-20: 0 viewers" in news["finding"]
    as_done(run, "2026-06-22", **other)
    assert "news" not in insights.write(again)["change"]["parts"]


def test_the_window_of_the_sandbox_ends_on_its_last_day(new_run):  # noqa: F811
    run = clustered(new_run, viewing(9, 60))
    assert run.window.end + timedelta(1) == run.window.as_of


PART = {
    "finding": "83 viewers <b>left</b>.", "note": "One video.", "figures": {}, "more": {},
    "columns": {"cluster": "cluster", "rate": "rate", "rate_low": "low", "rate_high": "high"},
    "rows": [{"cluster": "bouncers", "rate": 0.262, "rate_low": 0.216, "rate_high": 0.312}],
}  # fmt: skip


def test_a_part_is_shown_with_its_finding_its_note_and_its_table():
    page = BeautifulSoup(insights.show(PART)._repr_html_(), "html.parser")
    assert page.strong.get_text() == "83 viewers <b>left</b>."
    assert page.caption.get_text() == "One video."
    assert page.tbody.get_text("|").replace("\u00a0", " ").strip("\n|").split("|")[1:] == [
        "26 % (22 to 31)"
    ]
    folded = BeautifulSoup(insights.show(PART, fold=True)._repr_html_(), "html.parser")
    assert folded.details.summary.get_text() == "83 viewers <b>left</b>."
    assert "<table" not in insights.show({**PART, "rows": []})._repr_html_()
