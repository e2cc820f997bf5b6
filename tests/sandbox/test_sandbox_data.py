"""The invented account: its shape, its oddities, and that a seed is enough to know it."""

import hashlib
import json
import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.core.clock import SANDBOX_LAST_DAY
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


def deduplicated(events: list[dict]) -> list[dict]:
    kept: dict[str, dict] = {}
    for row in sorted(events, key=lambda row: (-row["percent_viewed"], row["received_at"])):
        kept.setdefault(row["event_key"], row)
    return list(kept.values())


def clusters(events: list[dict]) -> dict[str, str]:
    """Cluster of each viewer, counted plainly."""
    best = defaultdict(dict)
    for row in deduplicated(events):
        seen = best[row["visitor_key"]]
        seen[row["media_id"]] = max(row["percent_viewed"], seen.get(row["media_id"], 0))

    def cluster(seen: dict) -> str:
        count, mean = len(seen), 100 * sum(seen.values()) / len(seen)
        if count >= 5 and mean >= 75:
            return "binge_watchers"
        if count >= 3 and mean >= 50:
            return "engaged_explorers"
        if count == 1 and mean < 30:
            return "bouncers"
        return "skimmers" if count >= 2 and mean < 50 else "casual_viewers"

    return {viewer: cluster(seen) for viewer, seen in best.items()}


def has_email(row: dict) -> bool:
    return "@" in str((row["visitor_identity"] or {}).get("email"))


def test_the_clusters_have_the_sizes_of_the_published_run(events, visitors):
    found = clusters(events)
    share = {name: count / len(found) for name, count in Counter(found.values()).items()}
    assert share["binge_watchers"] == pytest.approx(0.07, abs=0.01)
    assert share["engaged_explorers"] == pytest.approx(0.19, abs=0.01)
    assert share["bouncers"] == pytest.approx(0.33, abs=0.01)
    assert share["skimmers"] == pytest.approx(0.15, abs=0.01)
    assert share["casual_viewers"] == pytest.approx(0.26, abs=0.01)
    assert len(visitors) == 1247 and 1200 < len(found) < 1247
    known = {row["visitor_key"] for row in visitors if has_email(row)}
    known |= {row["visitor_key"] for row in events if "@" in str(row["email"])}
    identified = {
        "binge_watchers": 0.75,
        "engaged_explorers": 0.61,
        "bouncers": 0.12,
        "skimmers": 0.48,
        "casual_viewers": 0.36,
    }
    for name, expected in identified.items():
        members = [viewer for viewer, cluster in found.items() if cluster == name]
        assert len(known.intersection(members)) / len(members) == pytest.approx(expected, abs=0.03)


def test_some_casual_viewers_watched_their_only_video_to_the_end(events):
    found, seen = clusters(events), defaultdict(list)
    for row in events:
        seen[row["visitor_key"]].append(row["percent_viewed"])
    finishers = [v for v, c in found.items() if c == "casual_viewers" and seen[v] == [1.0]]
    assert len(finishers) > 20


def test_identified_binge_watchers_were_active_in_the_last_two_days(events, visitors):
    found = clusters(events)
    known = {row["visitor_key"] for row in visitors if has_email(row)}
    late = {row["visitor_key"] for row in events if row["received_at"] >= "2026-06-29"}
    assert sum(found[viewer] == "binge_watchers" for viewer in known & late) >= 3


def test_the_data_end_on_the_fixed_day_and_reach_back_two_years(events):
    times = sorted(row["received_at"] for row in events)
    assert str(SANDBOX_LAST_DAY) == "2026-06-30"
    assert "2024-07-01" <= times[0] < "2024-10" and times[-1].startswith("2026-06-30")
    recent = sum(time >= "2026-04-02" for time in times) / len(times)
    assert 0.5 < recent < 0.8
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)


def test_completion_is_u_shaped_with_exact_ends(events):
    shares = [row["percent_viewed"] for row in events]
    assert all(0 <= share <= 1 for share in shares)
    tenths = Counter(min(int(share * 10), 9) for share in shares)
    assert tenths[0] > tenths[4] < tenths[9]
    assert 0.02 < shares.count(0.0) / len(shares) < 0.05
    assert 0.15 < shares.count(1.0) / len(shares) < 0.27


def test_event_keys_repeat_with_another_visitor_and_the_same_address(events):
    by_key = defaultdict(list)
    for row in events:
        by_key[row["event_key"]].append(row)
    repeated = [pair for pair in by_key.values() if len(pair) > 1]
    assert 0.005 < len(repeated) / len(events) < 0.02
    for one, two in repeated:
        assert one["visitor_key"] != two["visitor_key"]
        assert (one["ip"], one["media_id"]) == (two["ip"], two["media_id"])
    near = [min(one["percent_viewed"], two["percent_viewed"]) < 0.02 for one, two in repeated]
    assert near.count(False) == 1  # and one tie


def test_every_oddity_of_visitor_rows_is_there(visitors, events):
    identities = [row["visitor_identity"] for row in visitors]
    assert any(identity is None for identity in identities)
    given = [identity for identity in identities if identity]
    assert any("org" not in identity for identity in given)
    assert any(identity.get("org", {}) is None for identity in given)
    emails = [identity["email"] for identity in given if identity["email"]]
    assert any("@" not in email for email in emails)
    assert any(email != email.strip() for email in emails)
    assert Counter(email.strip().lower() for email in emails).most_common(1)[0][1] >= 2
    assert max(row["load_count"] for row in visitors) == 1408
    assert any(row["play_count"] > row["load_count"] for row in visitors)
    assert 0.07 < sum(r["created_at"] > r["last_active_at"] for r in visitors) / 1247 < 0.78
    with_events = {row["visitor_key"] for row in events}
    idle = [row for row in visitors if row["visitor_key"] not in with_events]
    assert idle and all(row["play_count"] > 0 for row in idle)
    assert {len(row["visitor_key"]) for row in visitors} >= {10, 12, 36, 46, 72}
    hostile = " ".join(identity["name"] for identity in given)
    for text in ("<script>", "=HYPERLINK", "Ignore all previous instructions", "DROP TABLE"):
        assert text in hostile


def test_every_oddity_of_event_rows_is_there(account, events):
    listed = {row["hashed_id"]: row for row in account.medias}
    played = {row["media_id"] for row in events}
    assert played - set(listed) == {"x2a7g5i0vt", "i2e7t4n8zx"}  # deleted
    assert {"5e12345678", "0012345678"} <= played
    for column in ("embed_url", "city", "region", "org"):
        assert any(row[column] == "" for row in events)
    urls = " ".join(row["embed_url"] for row in events)
    assert "utm_campaign=" in urls and "email=" in urls and "gclid=" in urls and "%40" in urls
    filled = [row for row in events if row["conversion_type"]]
    assert any(row["conversion_data"].get("email") for row in filled)
    assert all(row["conversion_data"] == {} for row in events if not row["conversion_type"])
    assert any(row["org"] == "Amazon Technologies Inc." for row in events)
    assert len({row["received_at"] for row in events}) < len(events)
    known = defaultdict(set)
    for row in events:
        known[row["visitor_key"]].add(row["email"] is None)
    assert any(len(kinds) == 2 for kinds in known.values())  # the e-mail came late


def test_medias_have_repeated_names_and_images_without_length(account):
    names = [row["name"] for row in account.medias]
    assert len(set(names)) < len(names) and 15 <= len(names) <= 25
    assert 3 <= len({row["project"]["name"] for row in account.medias}) <= 4
    images = [row for row in account.medias if row["type"] == "Image"]
    assert [row.get("duration", "absent") for row in images] == [None, "absent"]


def test_addresses_are_reserved_for_examples(events, visitors):
    text = json.dumps([events, visitors])
    domains = set(re.findall(r"[\w.+'-]+@([\w-]+(?:\.[\w-]+)+)", text))
    assert domains
    for domain in domains:
        assert re.fullmatch(r"example\.(com|org|net)|.*\.example", domain, re.I)
    reserved = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")
    assert all(row["ip"].startswith(reserved) for row in events)


def test_rows_of_both_lists_join(events, visitors):
    keys = [row["visitor_key"] for row in visitors]
    assert len(set(keys)) == len(keys)
    assert {row["visitor_key"] for row in events} <= set(keys)
    newest = {}
    for row in events:
        newest.setdefault(row["visitor_key"], row["received_at"])
    for row in visitors:
        assert row["last_active_at"] == newest.get(row["visitor_key"], row["last_active_at"])


def test_one_seed_is_one_account(account, events, visitors):
    # Written down once: the notebooks' committed outputs rest on these rows.
    digest = hashlib.sha256(json.dumps([events, visitors, account.medias]).encode()).hexdigest()
    assert digest[:16] == "e1b4e1eb768c22f1"
    assert rows(invent(50, 3).events) == rows(invent(50, 3).events)
    assert rows(invent(50, 3).events) != rows(invent(50, 4).events)


@settings(max_examples=25, deadline=None)
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
