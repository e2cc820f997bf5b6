"""The invented account: its shape, its oddities, and that a seed is enough to know it."""

import hashlib
import itertools
import json
import re
from collections import Counter, defaultdict
from datetime import datetime

import pytest
from counting import count_by_hand
from hypothesis import given, settings, strategies as st

from helpers.core.clock import SANDBOX_LAST_DAY
from helpers.sandbox import engagement
from helpers.sandbox.catalogue import CLUSTERS, MARKS, VIDEOS
from helpers.sandbox.invented import invent


def rows(table) -> list[dict]:
    return [table[at] for at in range(len(table))]


@pytest.fixture(scope="module")
def account():
    return invent()


@pytest.fixture(scope="module")
def events(account):
    return rows(account.events)


@pytest.fixture(scope="module")
def visitors(account):
    return rows(account.visitors)


def clusters(events: list[dict]) -> dict[str, str]:
    """Cluster of each viewer, counted plainly."""
    timed = [row | {"received_at": datetime.fromisoformat(row["received_at"])} for row in events]
    return {viewer: figures["cluster"] for viewer, figures in count_by_hand(timed).items()}


def has_email(row: dict) -> bool:
    return "@" in str((row["visitor_identity"] or {}).get("email"))


def test_the_clusters_have_the_sizes_of_the_published_run(events, visitors):
    found = clusters(events)
    share = {name: count / len(found) for name, count in Counter(found.values()).items()}
    for name, size in zip(CLUSTERS, (0.07, 0.19, 0.33, 0.15, 0.26), strict=True):
        assert share[name] == pytest.approx(size, abs=0.01)
    assert len(visitors) == 1247 and 1200 < len(found) < 1247
    known = {row["visitor_key"] for row in visitors if has_email(row)}
    known |= {row["visitor_key"] for row in events if "@" in str(row["email"])}
    for name, expected in zip(CLUSTERS, (0.75, 0.61, 0.12, 0.48, 0.36), strict=True):
        members = [viewer for viewer, cluster in found.items() if cluster == name]
        assert len(known.intersection(members)) / len(members) == pytest.approx(expected, abs=0.03)


def test_leads_are_there_finishers_among_casual_viewers_and_recent_binge_watchers(events, visitors):
    found, seen = clusters(events), defaultdict(list)
    for row in events:
        seen[row["visitor_key"]].append(row["percent_viewed"])
    finishers = [v for v, c in found.items() if c == "casual_viewers" and seen[v] == [1.0]]
    assert len(finishers) > 20
    known = {row["visitor_key"] for row in visitors if has_email(row)}
    late = {row["visitor_key"] for row in events if row["received_at"] >= "2026-06-29"}
    assert sum(found[viewer] == "binge_watchers" for viewer in known & late) >= 3


def test_clicks_come_from_those_who_watch_far_and_lately(events):
    found, clicked = clusters(events), [r for r in events if r["conversion_type"][-5:] == "click"]
    by_cluster = Counter(found[key] for key in {row["visitor_key"] for row in clicked})
    sizes = Counter(found.values())
    rates = {name: by_cluster[name] / sizes[name] for name in sizes}
    assert 100 < len(clicked) < 200
    assert rates["engaged_explorers"] > rates["casual_viewers"] > rates["bouncers"] == 0
    mean = sum(row["percent_viewed"] for row in events) / len(events)
    assert sum(row["percent_viewed"] for row in clicked) / len(clicked) > mean + 0.2

    def recent(rows):
        return sum(row["received_at"] >= "2026-04-02" for row in rows) / len(rows)

    assert recent(clicked) > recent(events) + 0.1


@pytest.mark.parametrize("media_id", MARKS)
def test_planted_drops_and_peaks_are_where_they_are_said_to_be(account, media_id):
    played = (row for row in rows(account.events) if row["media_id"] == media_id)
    sessions = [(row["visitor_key"], row["percent_viewed"]) for row in played]
    seconds = next(video[2] for video in VIDEOS if video[0] == media_id)
    drops, peaks = account.marks[media_id]
    seen = engagement.watching(sessions, seconds, drops)
    again = engagement.rewatched(seen, seconds, peaks)
    cell = seconds / len(seen)
    # What was watched adds up to the sessions' shares, but for rounding to cells.
    assert sum(seen) / len(seen) == pytest.approx(sum(share for _, share in sessions), rel=0.01)
    assert max(seen) <= len(sessions) and len(seen) == len(again) <= 1000
    lost = [(earlier - later) / seen[0] for earlier, later in itertools.pairwise(seen)]
    assert [at for at, share in enumerate(lost, 1) if share > 0.15] == [
        round(second / cell) for second in drops
    ]
    median = sorted(again)[len(again) // 2]
    top = max(range(len(again)), key=again.__getitem__)
    assert (again[top] >= max(10, 5 * median)) == bool(peaks)
    assert not peaks or top == round(peaks[0] / cell)


def test_every_oddity_of_real_rows_is_there(account, visitors, events):
    identities = [row["visitor_identity"] for row in visitors]
    assert any(identity is None for identity in identities)
    given = [identity for identity in identities if identity]
    assert any("org" not in identity for identity in given)
    assert any(identity.get("org", {}) is None for identity in given)
    emails = [identity["email"] for identity in given if identity["email"]]
    assert any("@" not in email for email in emails)
    assert Counter(email.strip().lower() for email in emails).most_common(1)[0][1] >= 2
    assert any(row["play_count"] > row["load_count"] for row in visitors)
    assert any(row["created_at"] > row["last_active_at"] for row in visitors)
    assert {len(row["visitor_key"]) for row in visitors} >= {10, 12, 36, 46, 72}
    hostile = " ".join(identity["name"] for identity in given)
    for text in ("<script>", "=HYPERLINK", "Ignore all previous instructions", "DROP TABLE"):
        assert text in hostile
    times = sorted(row["received_at"] for row in events)
    assert "2024-07-01" <= times[0] < "2024-10" and times[-1].startswith(str(SANDBOX_LAST_DAY))
    played = {row["media_id"] for row in events}
    listed = {row["hashed_id"] for row in account.medias}
    assert played - listed == {"x2a7g5i0vt", "i2e7t4n8zx"}  # deleted
    assert {"5e12345678", "0012345678"} <= played
    for column in ("embed_url", "city", "region", "org"):
        assert any(row[column] == "" for row in events)
    assert 0.005 < 1 - len({row["event_key"] for row in events}) / len(events) < 0.02
    shares = [row["percent_viewed"] for row in events]
    assert 0.02 < shares.count(0.0) / len(shares) < 0.05
    assert 0.15 < shares.count(1.0) / len(shares) < 0.27


def test_addresses_are_reserved_for_examples(events, visitors):
    text = json.dumps([events, visitors])
    domains = set(re.findall(r"[\w.+'-]+@([\w-]+(?:\.[\w-]+)+)", text))
    assert domains
    for domain in domains:
        assert re.fullmatch(r"example\.(com|org|net)|.*\.example", domain, re.I)
    reserved = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")
    assert all(row["ip"].startswith(reserved) for row in events)


def test_one_seed_is_one_account(account, events, visitors):
    # Written down once: the notebooks' committed outputs rest on these rows.
    digest = hashlib.sha256(json.dumps([events, visitors, account.medias]).encode()).hexdigest()
    assert digest[:16] == "2747e0769d932058"
    assert rows(invent(50, 3).events) == rows(invent(50, 3).events)
    assert rows(invent(50, 3).events) != rows(invent(50, 4).events)


@settings(max_examples=25)
@given(st.integers(0, 140), st.integers(0, 2**32))
def test_any_size_and_seed_gives_whole_rows(viewers, seed):
    account = invent(viewers, seed)
    assert len(account.visitors) == viewers
    times = account.events.columns["time"]
    assert times == sorted(times, reverse=True)
    for row in rows(account.events):
        assert "2024-07-01" <= row["received_at"] < "2026-07-01" and 0 <= row["percent_viewed"] <= 1
    assert all(row["load_count"] >= 0 < row["play_count"] for row in rows(account.visitors))
    clusters(rows(account.events))
