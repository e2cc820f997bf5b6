"""Run folders for the tests of report and browser: small, hand-made, hostile where asked."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from helpers.findings.section import Section
from helpers.store import rules

CLUSTERS = pd.DataFrame(
    [
        ("binge_watchers", 89, 8.1, 82.4, 3.5, 67),
        ("engaged_explorers", 234, 4.2, 61.8, 1.9, 142),
        ("bouncers", 412, 1.0, 18.3, 1.0, 51),
        ("skimmers", 187, 2.6, 34.7, 1.4, 89),
        ("casual_viewers", 325, 1.3, 45.2, 1.2, 118),
    ],
    columns="cluster viewers avg_videos avg_percent_watched avg_visits identified_viewers".split(),  # noqa: SIM905
)
NAMES = list(CLUSTERS["cluster"])
VIDEOS = ["Pricing explained", "Product tour", "Security and compliance", "Admin deep dive"]
HOSTILE = "<script>fetch('//evil.test')</script><img src=x onerror=alert(1)>"
ANSWER = """# What I found

You have **1,247 viewers** in five clusters, see [our page](https://example.org/page).

### Binge Watchers

- **Conversion probability:** high, for they return.

### Bouncers

About 9,999 of them left early. Fix the landing page.

## The one action

Have sales call every identified binge watcher within 48 hours of the last view.
"""


def section(finding: str, rows=(), labels: str = "", note: str = "", **parts) -> dict:
    """A Section as JSON; labels as ``name=label with unit; …``, else the names of the columns."""
    table = pd.DataFrame(list(rows), dtype=object)
    given = dict(pair.split("=") for pair in labels.split("; ")) if labels else {}
    named = {name: given.get(name, name.replace("_", " ")) for name in table}
    below = {name: Section.from_json(part) for name, part in parts.items()}
    return Section(finding, table, named, note, below).to_json()


def insights(*, bad: str = "", news: bool = True) -> dict:
    """insights.json; ``bad`` is put wherever an outsider's text may stand."""
    share = {"low": 0.3, "high": 0.5, "q_value": 0.0004}
    seen = [
        {"cluster": cluster, "media_id": f"m{n}", "title": f"{title}{bad}", "viewers": viewers}
        | {"reach": viewers and viewers / 200, "avg_percent_watched": 60.0}
        for n, title in enumerate(VIDEOS)
        for cluster, viewers in zip(NAMES, (40, 60, None, 20, 35), strict=True)
    ]
    video = {"cluster": "binge_watchers", "title": f"{VIDEOS[0]}{bad}", "viewers": 40}
    new = [
        {"cluster": name, "viewers": 40, "people": 15, "to_call": None, "companies": 0}
        for name in NAMES
    ]
    weeks = [date(2025, 12, 29) + timedelta(weeks=n) for n in range(26)]
    growth = [
        {
            "period": day.isoformat(),
            "viewers": 40 + 5 * n,
            "people": None if n == 3 else 15 + 5 * (n // 5),
        }
        for n, day in enumerate(weeks)
    ]
    named = "period=week from; people=identified people; to_call=worth a call"
    parts = {
        "trend": section("Viewers by week went from 40 to 165.", growth, named),
        "moves": section(
            "40 joined, 10 left.",
            [
                {"cluster_then": "bouncers", "cluster_now": now, "viewers": viewers}
                for now, viewers in zip(NAMES[3:], (10, 15), strict=True)
            ],
        ),
        "causes": section("Nothing else changed."),
    }
    if news:
        sentence = "New since run 2026-06-01: 200 viewers, 75 identified people; gone: 40 viewers."
        totals = section("In all.", [{"kind": "viewers", "new": 200, "gone": 40, "now": 1247}])
        parts = {"news": section(sentence, new, named, totals=totals)} | parts
    shares = [
        {"cluster": name, "viewers_then": 300, "viewers_now": 410, "share_then": 0.26}
        | {"share_now": 0.33, "difference": 0.07, "low": 0.03, "high": 0.11, "q_value": 0.02}
        for name in NAMES
    ]
    converted = [
        {"cluster": name, "viewers": viewers, "converted": count, "rate": count and count / viewers}
        | {"low": 0.3, "high": 0.6, "verdict": "higher" if count == 45 else "no clear difference"}
        for name, viewers, count in zip(
            NAMES, (90, 235, 410, 185, 325), (45, 60, None, 20, 10), strict=True
        )
    ]
    called = [
        {"cluster": name, "people": people, "to_call": call, "seen_7_days": call}
        for name, people, call in zip(
            NAMES, (65, 135, 45, 85, 105), (20, 15, None, 0, 10), strict=True
        )
    ]
    minutes = [{"cluster": name, "minutes": 4800, "minutes_per_viewer": 54.2} for name in NAMES]
    return {
        "schema_version": 2,
        "content": section(
            f"Binge Watchers prefer “{VIDEOS[0]}”.",
            [video | {"preference": 2.1} | share],
            videos=section("4 videos reached enough viewers.", seen),
            folders=section("No folder stands out."),
            next_video=section(
                "Next for Binge Watchers: “Admin deep dive”.",
                [{"cluster": "binge_watchers", "title": f"{VIDEOS[3]}{bad}", "followers": 30}],
            ),
        ),
        "sources": section(
            f"Bouncers come by blog.example/{bad}.",
            [{"kind": "page", "value": f"blog.example/{bad}", "viewers": 85}],
        ),
        "conversions": section("135 of 835 viewers converted.", converted),
        "change": section("Bouncers grew from 26 % to 33 %.", shares, **parts),
        "sensitivity": section(
            "95 viewers stand within a step of a threshold.",
            [{"cluster": "bouncers", "column": "avg_percent_watched", "lowered": 45, "raised": 50}],
        ),
        "groups": section("The data show no groups of their own."),
        "people": section(
            "48 of 435 identified people are worth a call: a score of 60 or more, seen in 30 days.",
            called,
            named,
            companies=section("12 companies.", [{"company": f"Acme{bad}", "people": 15}]),
            watch_time=section("54 minutes a viewer.", minutes),
        ),
        "coverage": section(
            "63 % of viewers are anonymous.",
            [{"topic": "anonymous viewers", "value": 780, "share": 0.63}],
        ),
    }


def retention(*, bad: str = "") -> dict:
    curve = [
        {"media_id": "m0", "title": f"{VIDEOS[0]}{bad}", "second": second, "watching": share}
        | {"rewatched": 0.1}
        for second, share in zip(range(0, 200, 10), [1.0] * 12 + [0.6] * 8, strict=True)
    ]
    drop = {"media_id": "m0", "title": f"{VIDEOS[0]}{bad}", "second": 125, "lost": 0.4, "left": 0.6}
    return section(
        "“Pricing explained” loses 40 % at 2:05.",
        [drop],
        curves=section("1 video was looked at.", curve),
        peaks=section("No part is watched twice."),
    )


def personas(titles: dict[str, str], *, status: str = "bought") -> dict:
    cards = [
        {"cluster": cluster, "title": title, "name": title, "draft": {}, "status": status}
        | {"persona_id": f"p{place}", "credits": 300 if status == "bought" else 0}
        | {"facts": [{"text": "A fact of the data.", "from": "clusters.csv"}]}
        | {"description": f"A busy lead who watches {title.lower()} to decide this quarter."}
        for place, (cluster, title) in enumerate(titles.items())
    ]
    return {"schema_version": 1, "pipeline": "north_star", "bill": {}, "personas": cards}


def analysis(**changes) -> dict:
    said = {
        "binge_watchers": "- **Conversion probability:** high, for they return.",
        "bouncers": "About 9,999 of them left early. Fix the landing page.",
    }
    base = {
        "schema_version": 1,
        "status": "answered",
        "asked_on": "2026-06-30",
        "reused": False,
        "question": "Map these clusters to personas.",
        "answer": ANSWER,
        "by_cluster": said,
        "closing": "Have sales call every identified binge watcher within 48 hours.",
        "sources": [
            {"title": "Video statistics", "url": "https://example.org/video"},
            {"title": "bad", "url": "javascript:alert(1)"},
        ],
        "credits": 24,
        "unsupported_figures": ["9,999"],
        "confidence": {"score": 0.82, "risk": "low", "unsupported_claims": []},
        "replies": [
            {
                "cluster": "binge_watchers",
                "watch_on": "Show me the audit log in action.",
                "talk_to_sales": "A price for forty seats.",
            }
        ],
    }
    return base | changes


def manifest(**changes) -> dict:
    counts = {"visitors": 1391, "viewers": 1247, "identified_viewers": 467, "sessions": 3456}
    base = {
        "schema_version": 1,
        "status": "done",
        "account": "sandbox",
        "source": {"wistia": "sandbox", "mavera": "sandbox"},
        "stages": {"03_cluster": {"status": "done", "seconds": 2.5}},
        "parameters": {"run": "2026-07-01", "min_cell": 10, "show_identities": False},
        "window": {"start_date": "2024-07-01", "end_date": "2026-06-30", "as_of": "2026-07-01"},
        "counts": counts | {"people": 435, "people_to_call": 48},
        "repeated_rows": 24,
        "seconds": 31.4,
        "credits": {"spent": 1524},
        "versions": {"python": "3.11.2"},
    }
    return base | changes


def write(
    folder: Path, *, hostile: bool = False, told: bool = True, empty: bool = False, **changes
) -> Path:
    """Write a run folder; ``changes`` replace keys of run.json, or whole files by their names."""
    (folder / "data").mkdir(parents=True)
    bad = HOSTILE if hostile else ""
    titles = dict(rules.load().titles)
    table = CLUSTERS.assign(**dict.fromkeys(CLUSTERS.columns[1:], 0)) if empty else CLUSTERS
    with_shares = table.assign(
        share=table["viewers"] / table["viewers"].sum(),
        identified_share=table["identified_viewers"] / table["viewers"],
    )
    with_shares.to_csv(folder / "data" / "clusters.csv", index=False)
    rules.load().save(folder / "data" / "clusters.yml")
    files = {"personas": personas(titles), "analysis": analysis()}
    if told:
        files |= {"insights": insights(bad=bad), "retention": retention(bad=bad)}
    if hostile:
        said = {"bouncers": HOSTILE, HOSTILE: "x"}
        files["analysis"] |= {"answer": ANSWER + HOSTILE, "closing": HOSTILE, "by_cluster": said}
        files["personas"]["personas"][0] |= {"name": HOSTILE, "description": HOSTILE}
    if empty:
        files = {"analysis": analysis(status="not_asked", answer=None, closing=None, by_cluster={})}
        changes = {"counts": {"visitors": 0, "viewers": 0, "sessions": 0}} | changes
    files |= {name: changes.pop(name) for name in list(changes) if name in files}
    for name, content in files.items():
        (folder / "data" / f"{name}.json").write_text(json.dumps(content), "utf-8")
    (folder / "run.json").write_text(json.dumps(manifest(**changes)), "utf-8")
    return folder
