"""Where viewers leave, from a Wistia of its own: a server with engagement of known shape."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from fetching import NOW, event, media

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


class Wistia:
    """Events, medias, stats and engagement; ``refuses`` answers engagement with 403."""

    def __init__(self):
        self.asked: list[str] = []
        self.refuses, self.events = False, []
        for number, name in enumerate(LENGTHS):
            rows = range(number * 100, number * 100 + 40 - number)
            self.events += [event(n, DAY + timedelta(minutes=n), media_id=name) for n in rows]
        wistia = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                status, body = wistia.answer(parts.path, parse_qs(parts.query))
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, query: dict) -> tuple[int, object]:
        page = int(query.get("page", ["1"])[0])
        if path.endswith("/events.json"):
            first, last = query["start_date"][0], query["end_date"][0]
            rows = [row for row in self.events if first <= row["received_at"][:10] <= last]
            rows.sort(key=lambda row: row["received_at"], reverse=True)
            return 200, rows[page * 100 - 100 : page * 100]
        if path.endswith(("/visitors.json", "/token")):
            return 200, []
        if path.endswith("/medias.json"):
            rows = [media(name) | {"duration": length} for name, length in LENGTHS.items()]
            return 200, rows if page == 1 else []
        self.asked.append(path)
        if self.refuses:
            return 403, {"error": "no"}
        name = path.split("/medias/")[1].split("/")[0].removesuffix(".json")
        if name not in CURVES:
            return 404, ""
        plays, rewatches = CURVES[name]
        if path.endswith("/engagement.json"):
            return 200, {"engagement": 0.5, "engagement_data": plays, "rewatch_data": rewatches}
        count = plays[0] if plays else 0
        return 200, {"load_count": 4 * count, "play_count": count, "play_rate": 0.25,
                     "hours_watched": 12.345, "engagement": 0.5, "visitors": count}  # fmt: skip


@pytest.fixture
def wistia(monkeypatch):
    """A live account, its sessions fetched and its viewers made."""
    server = Wistia()
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", NOW)
    monkeypatch.setenv("WISTIA_API_TOKEN", "token")
    monkeypatch.setenv("WISTIA_BASE_URL", server.url)
    monkeypatch.setenv("VIEWER_PERSONAS_ACCOUNT", "acme")
    fetch.everything(Run.open("01_fetch"))
    enrich.features(Run.open("02_enrich"))
    cluster.assign(Run.open("03_cluster"))
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_drops_are_at_the_planted_seconds_with_two_requests_a_video_and_none_again(wistia):
    run = Run.open("06_retention")
    said = retention.fetch(run)["curve"]
    assert len(wistia.asked) == 9 == len(set(wistia.asked))  # one for a video that is not there
    assert said["Video demo"].startswith("of all viewers, for life")
    assert "deleted" in said["Video gone"] and "no curve" in said["Video image"]
    drops, peaks = retention.drops(run), retention.peaks(run)
    assert drops[["media_id", "second"]].values.tolist() == [["demo", 60.0], ["demo", 150.0]]
    assert drops["lost"].tolist() == [0.25, 0.23] and drops["left"].tolist() == [0.6, 0.15]
    assert peaks[["media_id", "second", "rewatched"]].values.tolist() == [["talk", 2520.0, 0.1]]
    curves = retention.curves(run)
    assert curves["title"].unique().tolist() == ["Video demo", "Video talk"]  # most viewers first
    assert curves.query("media_id == 'talk'")["second"].max() == pytest.approx(3596.4)
    assert retention.fetch(run)["curve"].equals(said) and len(wistia.asked) == 9
    wistia.events.append(event(999, DAY + timedelta(days=10), media_id="demo"))
    fetch.everything(Run.open("01_fetch"))
    enrich.features(Run.open("02_enrich"))
    cluster.assign(Run.open("03_cluster"))
    retention.fetch(Run.open("06_retention"))
    assert len(wistia.asked) == 9  # that session was there when the curve was read


def test_a_video_is_read_again_once_it_was_played_later(wistia, monkeypatch):
    retention.fetch(Run.open("06_retention", retention_videos=1))
    assert len(wistia.asked) == 2
    wistia.events.append(event(999, DAY + timedelta(days=15), media_id="demo"))
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-10-08T12:00:00+00:00")
    fetch.everything(Run.open("01_fetch", run_date="2026-10-08"))
    enrich.features(Run.open("02_enrich"))
    cluster.assign(Run.open("03_cluster"))
    retention.fetch(Run.open("06_retention", retention_videos=1))
    assert len(wistia.asked) == 4


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
    assert (demo["cluster"], demo["usual_percent"], demo["minutes"]) == ("skimmers", 50, 3.3)
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
    none = Run.open("06_retention", retention_videos=0)
    assert retention.fetch(none).empty and wistia.asked == []
    assert "retention_videos is 0" in retention.write(none).finding
    assert retention.table(none).empty
    few = Run.open("06_retention", min_cell=500, retention_videos=10)
    retention.fetch(few)
    assert retention.curves(few).empty and "No video" in retention.write(few).finding


def test_a_token_that_may_not_read_engagement_is_told_and_the_run_goes_on(wistia):
    wistia.refuses = True
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
