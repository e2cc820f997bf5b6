"""Engagement of videos: read once, again when they were played, and what is missing told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from fetching import NOW, Served, event, media
from pydantic import SecretStr

from helpers.core.errors import AccessError, ServiceError
from helpers.store.store import MEDIAS, Store
from helpers.wistia.client import Wistia
from helpers.wistia.engagement import GONE, NO_CURVE, fetch_engagement
from helpers.wistia.rows import to_table

NOON = datetime(2026, 9, 30, 12, tzinfo=UTC)
PLAYED = {"tour": NOON, "talk": NOON}


class Answers(Served):
    """A sandbox whose answers a test may replace, by the end of their path."""

    def __init__(self, *rows):
        super().__init__(*rows)
        self.replaced: dict[str, object] = {}

    def get(self, path, params=None, **_):
        for end, answer in self.replaced.items():
            if path.endswith(end):
                self.log.append((path, {}))
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return super().get(path, params)


@pytest.fixture
def reading(tmp_path, monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", NOW)
    medias = [media("tour") | {"duration": 4.2}, media("talk") | {"duration": 2000.0}]
    plays = [event(1, NOON, media_id="tour", percent_viewed=1.0),
             event(2, NOON, media_id="tour", percent_viewed=0.5),
             event(3, NOON, media_id="talk", percent_viewed=0.25)]  # fmt: skip
    served = Answers([], plays, medias)
    client = Wistia("http://127.0.0.1:1", SecretStr("t"))
    client.client = served
    made = Store(tmp_path / "live")
    made.open("x")
    made.replace(made.medias_path, to_table(client.medias(1).rows, MEDIAS))
    served.log.clear()
    return served, client, made


def cells(store: Store) -> pd.DataFrame:
    return pd.read_parquet(store.engagement_path)


def test_curves_and_figures_are_stored_and_not_read_again_until_played(reading):
    served, client, store = reading
    facts = fetch_engagement(client, store, ["tour", "talk"], PLAYED)
    assert (facts.videos_read, facts.readable, facts.missing) == (2, True, {})
    assert len(served.log) == 4
    tour = cells(store).query("media_id == 'tour'")
    assert tour[["second", "plays"]].values.tolist() == [[0, 2], [1, 2], [2, 1], [3, 1]]
    talk = cells(store).query("media_id == 'talk'")
    assert len(talk) == 1000 and set(talk["seconds"]) == {2.0} and talk["second"].max() == 1998
    assert (talk["plays"] == 1).sum() == 250
    stats = pd.read_parquet(store.media_stats_path).set_index("media_id")
    assert stats.loc["tour", "play_count"] == 2 and stats.loc["tour", "engagement"] == 0.75
    assert str(stats.loc["tour", "read_at"]) == "2026-10-01 12:00:00+00:00"
    served.log.clear()
    assert fetch_engagement(client, store, ["tour", "talk"], PLAYED).videos_read == 0
    assert served.log == []
    later = PLAYED | {"tour": datetime.fromisoformat(NOW) + timedelta(hours=1)}
    assert fetch_engagement(client, store, ["tour", "talk"], later).videos_read == 1
    assert len(served.log) == 2
    assert fetch_engagement(client, store, ["tour", "talk"], later).videos_read == 0
    assert len(cells(store)) == 1004


def test_a_deleted_video_and_one_without_a_curve_are_told_and_not_asked_for_again(reading):
    served, client, store = reading
    missing = ServiceError("nothing is there", status_code=404)
    served.replaced = {
        "medias/gone.json": missing,
        "photo/engagement.json": {"engagement": 0, "engagement_data": [], "rewatch_data": []},
        "photo.json": {"play_count": 3},
        "audio/engagement.json": missing,
        "audio.json": {"play_count": 4, "load_count": "many"},
        "odd/engagement.json": {"engagement_data": [1, "two"]},
        "odd.json": {"play_count": 5},
    }
    wanted = ["gone", "photo", "audio", "odd", "tour"]
    for videos_read in (5, 0):
        facts = fetch_engagement(client, store, wanted, {})
        told = {"gone": GONE, "photo": NO_CURVE, "audio": NO_CURVE, "odd": NO_CURVE}
        assert (facts.videos_read, facts.missing) == (videos_read, told)
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
        "short/engagement.json": {"engagement_data": [5, 4, 3], "rewatch_data": [1]},
        "none/engagement.json": {"engagement_data": [5], "rewatch_data": None},
        "hour/engagement.json": {"engagement_data": [7] * 1000, "rewatch_data": [0] * 1000},
        ".json": {"play_count": 9},
    }
    facts = fetch_engagement(client, store, ["short", "none", "hour"], {})
    assert facts.missing == {"hour": NO_CURVE}
    assert cells(store).set_index("media_id").loc["short", "rewatches"].tolist() == [1, 0, 0]


@pytest.mark.parametrize(("error", "kept"), [(AccessError("no"), 1), (ServiceError("no"), 1)])
def test_what_was_read_before_a_refusal_or_a_failure_is_kept(reading, error, kept):
    served, client, store = reading
    served.replaced = {"talk.json": error}
    if isinstance(error, AccessError):
        facts = fetch_engagement(client, store, ["tour", "talk"], PLAYED)
        assert (facts.readable, facts.videos_read) == (False, 1)
    else:
        with pytest.raises(ServiceError):
            fetch_engagement(client, store, ["tour", "talk"], PLAYED)
    assert cells(store)["media_id"].nunique() == kept
