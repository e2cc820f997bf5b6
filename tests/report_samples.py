"""Run folders for the tests of report and browser: small, hand-made, hostile where asked."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.findings import section
from helpers.store import rules

END = datetime(2026, 6, 30, 23, 59, tzinfo=UTC)
SIZES = {
    # cluster: viewers, identified, videos (from, to), completion (from, to)
    "binge_watchers": (89, 67, (5, 14), (75, 98)),
    "engaged_explorers": (234, 142, (3, 8), (50, 74)),
    "bouncers": (412, 51, (1, 1), (0, 29)),
    "skimmers": (187, 89, (2, 6), (5, 49)),
    "casual_viewers": (325, 118, (1, 2), (51, 100)),
}
VIDEOS = [
    "Pricing explained", "Product tour", "How to export a report", "Customer story: Acme",
    "Getting started in five minutes", "Integrations overview", "Security and compliance",
    "Webinar: planning the quarter", "Release notes, spring", "Admin deep dive",
]  # fmt: skip
HOSTILE = "<script>fetch('//evil.test')</script><img src=x onerror=alert(1)>"
ANSWER = """# What I found

You have **1,247 viewers** in five clusters.

### Binge Watchers

These are evaluating now. Show them *Security and compliance*; 89 viewers, of whom 67 are known.

### Bouncers

About 9,999 of them left early. Fix the landing page.

## The one action

Have sales call every identified binge watcher within 48 hours of the last view.
"""


def viewers(seed: int = 0, *, name: str | None = None) -> pd.DataFrame:
    """The viewers table of the sample, with the columns of the real one."""
    random, rows = np.random.default_rng(seed), []
    for cluster, (count, known, videos, percent) in SIZES.items():
        for number in range(count):
            ago = timedelta(hours=float(random.exponential(1400)) % 17_000)
            rows.append({
                "visitor_key": f"v-{cluster}-{number}",
                "name": name or f"Viewer {number}" if number < known else None,
                "email": f"viewer{number}@{cluster.replace('_', '')}.example"
                if number < known else None,
                "identified": number < known, "location": "Oslo, Norway", "country": "Norway",
                "video_count": int(random.integers(videos[0], videos[1] + 1)),
                "session_count": int(random.integers(videos[0], videos[1] * 2 + 1)),
                "avg_percent_watched": float(random.uniform(*percent)),
                "avg_session_percent": float(random.uniform(*percent)),
                "total_visits": int(random.integers(1, videos[1] + 1)), "active_days": 1,
                "first_seen": END - ago - timedelta(days=3), "last_active": END - ago,
                "top_video": "m0", "cluster": cluster,
            })  # fmt: skip
    return pd.DataFrame(rows)


def clusters(people: pd.DataFrame) -> pd.DataFrame:
    """clusters.csv of a viewers table."""
    groups, rows = people.groupby("cluster"), []
    for cluster in SIZES:
        group = groups.get_group(cluster) if cluster in groups.groups else people.iloc[:0]
        known = int(group["identified"].sum())
        rows.append({
            "cluster": cluster, "viewers": len(group),
            "share": len(group) / len(people) if len(people) else None,
            "avg_videos": group["video_count"].mean(),
            "avg_percent_watched": group["avg_percent_watched"].mean(),
            "avg_visits": group["total_visits"].mean(), "identified_viewers": known,
            "identified_share": known / len(group) if len(group) else None,
        })  # fmt: skip
    return pd.DataFrame(rows)


def affinity(titles: list[str]) -> pd.DataFrame:
    random, rows = np.random.default_rng(1), []
    for cluster, (count, *_) in SIZES.items():
        for number, title in enumerate(titles):
            seen = int(random.integers(2, max(count // 2, 4)))
            if seen >= 10:
                lift = float(random.uniform(0.4, 2.4))
                rows.append({
                    "cluster": cluster, "media_id": f"m{number}", "title": title, "viewers": seen,
                    "reach": seen / count, "avg_percent_watched": float(random.uniform(20, 90)),
                    "lift": lift, "lift_low": lift * 0.7, "lift_high": lift * 1.4, "q_value": 0.03,
                })  # fmt: skip
    return pd.DataFrame(rows)


def part(finding: str, rows=(), columns: str = "", note: str = "", **more) -> dict:
    """A part of insights.json, as the analysis makes it."""
    frame = pd.DataFrame(list(rows), dtype=object)
    return section.part(finding, frame, columns or " ".join(frame), note, more=more)


def insights(*, bad: str = "") -> dict:
    """insights.json; ``bad`` is put wherever an outsider's text may stand."""
    interval = {"lift": 2.1, "lift_low": 1.6, "lift_high": 2.8, "q_value": 0.0004}
    video = {"cluster": "binge_watchers", "title": f"Pricing explained{bad}", "viewers": 41}
    share = {
        "cluster": "bouncers",
        "before": 300,
        "after": 412,
        "share_before": 0.26,
        "share_after": 0.33,
        "difference": 0.07,
        "low": 0.03,
        "high": 0.11,
        "changed": True,
    }
    moves = [{"before": "binge_watchers", "binge_watchers": 60, "bouncers": None, "(left)": 12}]
    return {
        "schema_version": 1,
        "content": part(
            f"Binge Watchers stand out for “Pricing explained{bad}”.", [{**video, **interval}],
            note="Lift: reach in the cluster by reach among all.",
            next_video=part("Next for Binge Watchers: “Admin deep dive”.",
                            [{"cluster": "binge_watchers", "title": f"Admin deep dive{bad}"}]),
        ),
        "sources": part(f"Bouncers come by page blog.example/{bad}.",
                        [{"kind": "page", "value": f"blog.example/{bad}", "viewers": 88}]),
        "conversions": part("31 viewers of 1,247 converted (2 %).",
                            [{"cluster": "skimmers", "viewers": 187, "rate": 0.0214,
                              "rate_low": 0.01, "rate_high": 0.05}]),
        "change": part("Bouncers went from 26 % to 33 % of viewers since run 2026-06-01.", [share],
                       migration=part("40 joined, 12 left.", moves)),
        "outreach": part("31 people to call within 48 hours.",
                         [{"cluster": "binge_watchers", "people": 66, "hours_48": 31}]),
        "companies": part("12 companies have two viewers or more.", [{"company": f"Acme{bad}",
                                                                    "viewers": 14}]),
        "stability": part("91 % of labels hold when sessions are drawn again.",
                          [{"cluster": "bouncers", "viewers": 412, "kept": 0.97, "kept_low": 0.95,
                            "kept_high": 0.98}]),
        "discovery": part("The data show no clusters of their own."),
        "coverage": part("63 % of viewers are anonymous.",
                         [{"topic": "anonymous viewers", "count": 780, "share": 0.63}]),
    }  # fmt: skip


def personas(titles: dict[str, str], *, status: str = "bought") -> dict:
    cards = [
        {"cluster": cluster, "title": title, "name": title, "draft": {}, "status": status,
         "persona_id": f"p{place}", "credits": 300 if status == "bought" else 0,
         "facts": [{"text": f"{SIZES[cluster][0]:,} viewers.", "from": "clusters.csv"}],
         "description": f"A busy lead who watches {title.lower()} to decide this quarter."}
        for place, (cluster, title) in enumerate(titles.items())
    ]  # fmt: skip
    return {"schema_version": 1, "pipeline": "north_star", "bill": {}, "personas": cards,
            "credits": {"spent": 1500, "remaining": 3500}}  # fmt: skip


def analysis(**changes) -> dict:
    parts = {"binge_watchers": "These are evaluating now. Show them *Security and compliance*.",
             "bouncers": "About 9,999 of them left early. Fix the landing page."}  # fmt: skip
    base = {
        "schema_version": 1, "status": "answered", "asked_on": "2026-06-30", "reused": False,
        "question": "Map these clusters to personas.", "answer": ANSWER, "by_cluster": parts,
        "closing": "Have sales call every identified binge watcher within 48 hours.",
        "sources": [{"title": "Video statistics", "url": "https://example.org/video"},
                    {"title": "bad", "url": "javascript:alert(1)"}],
        "credits": 24, "thread_id": "t1", "unsupported_figures": ["9,999"],
        "confidence": {"score": 0.82, "risk": "low", "unsupported_claims": []},
        "follow_ups": [], "replies": [
            {"cluster": "binge_watchers", "watch_on": "Show me the audit log in action.",
             "talk_to_sales": "A price for forty seats."}],
    }  # fmt: skip
    return {**base, **changes}


def watch_times() -> pd.DataFrame:
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    return pd.DataFrame([
        {"weekday": day, "hour": hour,
         "sessions": int(40 * np.exp(-(((hour - 14) / 4) ** 2)) * (1 if place < 5 else 0.3))}
        for place, day in enumerate(days) for hour in range(24)
    ])  # fmt: skip


def manifest(**changes) -> dict:
    base = {
        "schema_version": 1, "status": "done", "account": "sandbox",
        "source": {"wistia": "sandbox", "mavera": "sandbox"},
        "stages": {name: {"status": "done", "seconds": 2.5} for name in
                   ("01_fetch", "02_enrich", "03_cluster", "04_personas", "05_mave_analysis")},
        "parameters": {"run": "2026-07-01", "min_cell": 10, "time_zone": "UTC", "seed": 0,
                       "show_identities": False, "clusters_file": ""},
        "window": {"start_date": "2024-07-01", "end_date": "2026-06-30", "as_of": "2026-07-01"},
        "counts": {"visitors": 1391, "viewers": 1247, "identified_viewers": 467, "sessions": 3456,
                   "session_rows": 3480, "left_out_sessions": 0,
                   "viewers_without_visitor_row": 4, "visitors_without_session": 148},
        "repeated_rows": 24, "requests": 54, "retries": 1, "seconds": 31.4,
        "credits": {"spent": 1524}, "versions": {"kit": "0.1.0", "python": "3.11.2"},
        "rules": {"source": "built-in", "fingerprint": "0f"},
    }  # fmt: skip
    return {**base, **changes}


def write(
    folder: Path, *, hostile: bool = False, told: bool = False, empty: bool = False,
    **changes,
) -> Path:  # fmt: skip
    """Write a run folder; ``changes`` replace keys of run.json, or analysis by that name."""
    data = folder / "data"
    data.mkdir(parents=True)
    titles = dict(rules.load().titles)
    names = [f"{title} {HOSTILE}" for title in VIDEOS] if hostile else VIDEOS
    people = viewers(name=HOSTILE if hostile else None)
    people = people.iloc[:0] if empty else people
    people.to_parquet(data / "viewers.parquet")
    clusters(people).to_csv(data / "clusters.csv", index=False)
    shown = affinity(names)
    (shown.iloc[:0] if empty else shown).to_csv(data / "affinity.csv", index=False)
    times = watch_times()
    (times.assign(sessions=0) if empty else times).to_csv(data / "watch_times.csv", index=False)
    answer = changes.pop("analysis", analysis())
    cards = changes.pop("personas", personas(titles))
    if hostile:
        answer = {**answer, "answer": ANSWER + HOSTILE, "closing": HOSTILE}
        answer["by_cluster"] = {"bouncers": HOSTILE, HOSTILE: "x"}
        cards["personas"][0].update(
            name=HOSTILE, description=HOSTILE, facts=[{"text": HOSTILE, "from": "x"}]
        )
    if empty:
        cards, answer = {**cards, "personas": []}, {**answer, "status": "not_asked", "answer": None,
                                                    "by_cluster": {}, "closing": None}  # fmt: skip
        changes = {"counts": {"visitors": 0, "viewers": 0, "sessions": 0}, **changes}
    files = {"data/personas.json": cards, "data/analysis.json": answer,
             "run.json": manifest(**changes)}  # fmt: skip
    if told:
        files["data/insights.json"] = insights(bad=HOSTILE if hostile else "")
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), "utf-8")
    return folder
