"""Engagement of videos: read once, again when they were played, and what is missing told."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from fetching import NOW, Served, event, media
from pydantic import SecretStr

from helpers.core import http
from helpers.core.errors import DataError, ServiceError
from helpers.core.files import write_parquet
from helpers.store.schema import MEDIAS
from helpers.store.store import Store
from helpers.wistia.client import Wistia
from helpers.wistia.rows import to_table
from helpers.wistia.videos import GONE, NO_CURVE, REFUSED, fetch_engagement

NOON = datetime(2026, 9, 30, 12, tzinfo=UTC)
PLAYED = {"tour": NOON, "talk": NOON}


@pytest.fixture
def reading(tmp_path, monkeypatch):
    """A sandbox over HTTP, a client of it and an empty store that knows its videos."""
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", NOW)
    monkeypatch.setattr(http.Client, "DEADLINE", 0)
    medias = [media("tour") | {"duration": 4.2}, media("talk") | {"duration": 2000.0}]
    plays = [event(1, NOON, media_id="tour", percent_viewed=1.0),
             event(2, NOON, media_id="tour", percent_viewed=0.5),
             event(3, NOON, media_id="talk", percent_viewed=0.25)]  # fmt: skip
    served = Served([], plays, medias).start()
    made = Store(tmp_path / "live")
    made.open("x")
    client = Wistia(served.url, SecretStr("t"))
    write_parquet(made.medias_path, to_table(next(client.medias()).rows, MEDIAS))
    served.log.clear()
    yield served, client, made
    client.close()
    served.stop()


def cells(store: Store) -> pd.DataFrame:
    return pd.read_parquet(store.engagement_path)


def test_curves_and_figures_are_stored_and_not_read_again_until_played(reading):
    served, client, store = reading
    assert fetch_engagement(client, store, PLAYED) == {}
    assert len(served.log) == 4
    tour = cells(store).query("media_id == 'tour'")
    assert tour[["second", "plays"]].values.tolist() == [[0, 2], [1, 2], [2, 1], [3, 1]]
    talk = cells(store).query("media_id == 'talk'")
    assert len(talk) == 1000 and set(talk["seconds"]) == {2.0} and talk["second"].max() == 1998
    assert (talk["plays"] == 1).sum() == 250
    stats = pd.read_parquet(store.media_stats_path).set_index("media_id")
    assert stats.loc["tour", "play_count"] == 2
    assert str(stats.loc["tour", "read_at"]) == "2026-10-01 12:00:00+00:00"
    later = PLAYED | {"tour": datetime.fromisoformat(NOW) + timedelta(hours=1)}
    for played, asked in ((PLAYED, 0), (later, 2), (later, 0)):
        served.log.clear()
        assert fetch_engagement(client, store, played) == {}
        assert len(served.log) == asked
    assert len(cells(store)) == 1004


def test_a_damaged_table_of_cells_is_told_by_name(reading):
    _, client, store = reading
    fetch_engagement(client, store, PLAYED)
    raw = store.engagement_path.read_bytes()
    store.engagement_path.write_bytes(raw[:4] + b"\xff" * 200 + raw[204:])
    with pytest.raises(DataError, match="engagement.parquet is damaged"):
        fetch_engagement(client, store, PLAYED)


def test_a_deleted_video_and_one_without_a_curve_are_told_and_not_asked_for_again(reading):
    served, client, store = reading
    served.replaced = {
        "medias/gone.json": (404, ""),
        "photo/engagement.json": (200, {"engagement": 0, "engagement_data": []}),
        "photo.json": (200, {"play_count": 3}),
        "audio/engagement.json": (404, ""),
        "audio.json": (200, {"play_count": 4, "play_rate": "many"}),
        "odd/engagement.json": (200, {"engagement_data": [1, "two"]}),
        "odd.json": (200, {"play_count": 5}),
    }
    wanted = dict.fromkeys(["gone", "photo", "audio", "odd", "tour"], NOON)
    for _ in range(2):
        told = {"gone": GONE, "photo": NO_CURVE, "audio": NO_CURVE, "odd": NO_CURVE}
        assert fetch_engagement(client, store, wanted) == told
    assert len(served.log) == 9
    assert set(cells(store)["media_id"]) == {"tour"}
    stats = pd.read_parquet(store.media_stats_path).set_index("media_id")
    assert stats["play_count"].to_dict() == pytest.approx(
        {"gone": float("nan"), "photo": 3, "audio": 4, "odd": 5, "tour": 2}, nan_ok=True
    )


def test_rewatches_may_be_fewer_than_cells_or_not_there_and_a_long_video_may_have_no_length(
    reading,
):
    served, client, store = reading
    served.replaced = {
        "short/engagement.json": (200, {"engagement_data": [5, 4, 3], "rewatch_data": [1]}),
        "none/engagement.json": (200, {"engagement_data": [5], "rewatch_data": None}),
        "hour/engagement.json": (200, {"engagement_data": [7] * 1000, "rewatch_data": []}),
        ".json": (200, {"play_count": 9}),
    }
    wanted = dict.fromkeys(["short", "none", "hour"], NOON)
    assert fetch_engagement(client, store, wanted) == {"hour": NO_CURVE}
    assert cells(store).set_index("media_id").loc["short", "rewatches"].tolist() == [1, 0, 0]


def test_what_was_read_before_a_refusal_or_a_failure_is_kept(reading):
    served, client, store = reading
    served.replaced = {"talk.json": (403, {"error": "no"})}
    told = fetch_engagement(client, store, PLAYED)
    assert told == {"tour": REFUSED, "talk": REFUSED}
    served.replaced = {"talk.json": (500, "")}
    with pytest.raises(ServiceError):
        fetch_engagement(client, store, PLAYED)
    assert set(cells(store)["media_id"]) == {"tour"}
