"""Where viewers leave, from a sandbox with engagement of known shape."""

import shutil
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from fetching import Served, event, media, settings

from helpers import analysis, cluster, enrich, fetch, retention
from helpers.core import files
from helpers.findings.section import Section
from helpers.run import Run

DAY = datetime(2026, 9, 20, 12, tzinfo=UTC)
CURVES = {  # plays that saw each second, and rewatches
    "demo": ([400 - n - 100 * (n >= 60) - 90 * (n >= 150) for n in range(200)], [2] * 200),
    "talk": ([300 - n // 10 for n in range(1000)], [0] * 700 + [30] * 3 + [0] * 200),
    "few": ([9, 8, 2, 1], [0] * 4),
    "image": ([], []),
}
LENGTHS = {"demo": 200.4, "talk": 3600.0, "few": 4.0, "image": None, "gone": 60.0}


STATS = {"load_count": 800, "play_rate": 0.25, "hours_watched": 12.345, "engagement": 0.5}


def engagement_of(name: str) -> dict[str, tuple[int, object]]:
    """Answers to the two questions about a video."""
    if name not in CURVES:
        return {f"/{name}.json": (404, "")}
    plays, rewatches = CURVES[name]
    return {
        f"/{name}.json": (200, STATS | {"play_count": plays[0] if plays else 0}),
        f"/{name}/engagement.json": (200, {"engagement_data": plays, "rewatch_data": rewatches}),
    }


EVENTS = [
    event(number * 100 + n, DAY + timedelta(minutes=n), media_id=name)
    for number, name in enumerate(LENGTHS)
    for n in range(40 - number)
]


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    """A live account, and an outputs folder where its sessions are fetched and its viewers made."""
    medias = [media(name) | {"duration": length} for name, length in LENGTHS.items()]
    served, outputs = Served([], EVENTS, medias).start(), tmp_path_factory.mktemp("made") / "o"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings(outputs, served.url).items():
            patch.setenv(name, value)
        make_viewers()
    yield served, outputs
    served.stop()


@pytest.fixture
def wistia(account, bare_environment, monkeypatch):
    """The account as it was, and a copy of what was made of it."""
    served, outputs = account
    served.events, served.replaced = EVENTS, {}
    served.log.clear()
    for name in LENGTHS:
        served.replaced |= engagement_of(name)
    shutil.copytree(outputs, bare_environment)
    for name, value in settings(bare_environment, served.url).items():
        monkeypatch.setenv(name, value)
    return served


def make_viewers(run_date: str = "") -> None:
    fetch.everything(Run.open("01_fetch", run_date=run_date))
    enrich.features(Run.open("02_enrich"))
    cluster.assign(Run.open("03_cluster"))


def asked(served: Served) -> list[str]:
    """Paths of the questions about single videos."""
    return [path for path, _ in served.log if "/stats/medias/" in path]


def test_drops_are_at_the_planted_seconds_with_two_requests_a_video_and_none_again(wistia):
    run = Run.open("06_retention")
    said = retention.fetch(run)["curve"]
    assert len(asked(wistia)) == 9 == len(set(asked(wistia)))  # one for a video that is not there
    assert said["Video demo"].startswith("of all viewers, for life")
    assert "deleted" in said["Video gone"] and "no curve" in said["Video image"]
    drops, peaks = retention.drops(run), retention.peaks(run)
    assert drops[["media_id", "second"]].values.tolist() == [["demo", 60.0], ["demo", 150.0]]
    assert drops["lost"].tolist() == [0.25, 0.23] and drops["left"].tolist() == [0.6, 0.15]
    assert peaks[["media_id", "second", "rewatched"]].values.tolist() == [["talk", 2520.0, 0.1]]
    curves = retention.curves(run)
    assert curves["title"].unique().tolist() == ["Video demo", "Video talk"]  # most viewers first
    assert curves.query("media_id == 'talk'")["second"].max() == pytest.approx(3596.4)
    assert retention.fetch(run)["curve"].equals(said) and len(asked(wistia)) == 9
    wistia.events += [event(999, DAY + timedelta(days=10), media_id="demo")]
    make_viewers()
    retention.fetch(Run.open("06_retention"))
    assert len(asked(wistia)) == 9  # that session was there when the curve was read


def test_a_video_is_read_again_once_it_was_played_later(wistia, monkeypatch):
    retention.fetch(Run.open("06_retention", retention_videos=1))
    assert len(asked(wistia)) == 2
    wistia.events += [event(999, DAY + timedelta(days=15), media_id="demo")]
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-10-08T12:00:00+00:00")
    make_viewers("2026-10-08")
    retention.fetch(Run.open("06_retention", retention_videos=1))
    assert len(asked(wistia)) == 4


def test_the_table_has_what_is_known_of_each_video_and_the_files_hold_it(wistia):
    run = Run.open("06_retention")
    retention.fetch(run)
    preferred = [("bouncers", 2.0), ("skimmers", 3.0)]
    rows = [{"media_id": "demo", "cluster": name, "preference": n} for name, n in preferred]
    run.write_json("insights.json", {"content": {"rows": rows}})
    table = retention.table(run)
    assert table["where"].fillna("").tolist() == ["1:00", "2:30", "42:00"]
    demo = table.loc["Video demo"].iloc[0]
    assert (demo["plays"], demo["play_rate"], demo["hours_watched"]) == (400, 0.25, 12.3)
    assert (demo["cluster"], demo["usual_percent"], demo["length"]) == ("skimmers", 50, "3:20")
    assert demo["opening"] == 0.01
    section = retention.write(run)
    assert "2 of 2" not in section.finding and "1 of 2 videos" in section.finding
    assert "25\u00a0% at 1:00 of “Video demo”, 23\u00a0% at 2:30 of “Video demo”" in section.finding
    read = Section.from_json(files.read_json(run.data("retention.json")))
    assert read.table["second"].tolist() == [60.0, 150.0]
    assert len(read.parts["curves"].table) <= 204
    stored = pd.read_csv(run.data("retention.csv"))
    assert list(stored) == ["media_id", "title", "second", "watching", "rewatched"]
    assert len(stored) == 1200 and (stored["watching"] * 100).round(9).mod(1).eq(0).all()


def test_nothing_is_asked_of_wistia_and_said_where_there_is_nothing_to_look_at(wistia):
    new = Run.open("06_retention")
    stands_out = [{"media_id": name, "cluster": "bouncers", "preference": 2.0} for name in LENGTHS]
    new.write_json("insights.json", {"content": {"rows": stands_out}})
    assert retention.table(new) is None and "No video" in retention.write(new).finding
    none = Run.open("06_retention", retention_videos=0)
    assert retention.fetch(none) is None and asked(wistia) == []
    assert "retention_videos is 0" in retention.write(none).finding
    assert retention.table(none) is None
    few = Run.open("06_retention", min_cell=500, retention_videos=10)
    retention.fetch(few)
    assert retention.curves(few).empty and "No video" in retention.write(few).finding


def test_a_token_that_may_not_read_engagement_is_told_and_the_run_goes_on(wistia):
    wistia.replaced = {"engagement.json": (403, {"error": "no"})}
    run = Run.open("06_retention")
    assert retention.fetch(run)["curve"].str.contains("the token lacks").all()
    assert retention.write(run).table.empty


def test_edits_are_asked_for_once_with_the_lengths_and_kept_beside_the_drops(wistia, monkeypatch):
    sent = []

    def ask(run, drops):
        sent.append(drops)
        return Section("Mave proposes edits at 2 places where viewers leave.")

    monkeypatch.setattr(analysis, "ask_edits", ask)
    run = Run.open("06_retention", ask_edits=True)
    retention.fetch(run)
    retention.write(run)
    assert sent[0][["second", "minutes"]].values.tolist() == [[60.0, 3.3], [150.0, 3.3]]
    assert "edits" in files.read_json(run.data("retention.json"))["parts"]
