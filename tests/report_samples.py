"""Run folders for the tests of report and browser: small, hand-made, hostile where asked."""

import json
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from helpers.findings.section import Section
from helpers.store import rules

NAMES = rules.load().names
CLUSTERS = pd.DataFrame(
    {
        "cluster": NAMES,
        "viewers": [89, 234, 412, 187, 325],
        "avg_videos": [8.1, 4.2, 1.0, 2.6, 1.3],
        "avg_percent_watched": [82.4, 61.8, 18.3, 34.7, 45.2],
        "avg_visits": [3.5, 1.9, 1.0, 1.4, 1.2],
        "identified_viewers": [67, 142, 51, 89, 118],
    }
)
MONDAY = date(2025, 12, 29)
VIDEOS = ["Pricing explained", "Product tour", "Security and compliance", "Admin deep dive"]
HOSTILE = "<script>fetch('//evil.test')</script><img src=x onerror=alert(1)>"
WRONG = "About 9,999 of them left early. Fix the landing page."
ANSWER = f"""# What I found

You have **1,247 viewers** in five clusters, see [our page](https://example.org/page).

### Binge Watchers

- **Conversion probability:** high, for they return.

### Bouncers

{WRONG}

## The one action

Have sales call every identified binge watcher within 48 hours of the last view.
"""


def section(finding: str, rows=(), note: str = "", labels: dict | None = None, **parts) -> dict:
    """A Section as JSON; columns without a label are called by their names."""
    table = pd.DataFrame(list(rows), dtype=object)
    named = {name: (labels or {}).get(name, name.replace("_", " ")) for name in table}
    below = {name: Section.from_json(part) for name, part in parts.items()}
    return Section(finding, table, named, note, below).to_json()


def by_cluster(**columns) -> list[dict]:
    """A row for each cluster: a list has a value for each, anything else is the same in all."""
    frame = pd.DataFrame({"cluster": NAMES, **columns}, dtype=object)
    return frame.to_dict("records")


def insights(*, bad: str = "", news: bool = True) -> dict:
    """insights.json; ``bad`` is put wherever an outsider's text may stand."""
    named = {"period": "week from", "people": "identified people", "to_call": "worth a call"}
    reached = by_cluster(viewers=[40, 60, None, 20, 35], reach=[0.2, 0.3, None, 0.1, 0.175])
    seen = [
        row | {"media_id": f"m{number}", "title": f"{title}{bad}"}
        for number, title in enumerate(VIDEOS)
        for row in reached
    ]
    video = {"cluster": "binge_watchers", "title": f"{VIDEOS[0]}{bad}", "viewers": 40}
    video |= {"preference": 2.1, "low": 1.6, "high": 2.8, "q_value": 0.0004}
    follower = {"cluster": "binge_watchers", "title": f"{VIDEOS[3]}{bad}", "followers": 30}
    source = {"kind": "page", "value": f"blog.example/{bad}", "viewers": 85}
    growth = [
        {"period": str(MONDAY + timedelta(weeks=n)), "viewers": 40 + 5 * n, "people": 15 + n}
        for n in range(26)
    ]
    growth[3]["people"] = None
    moved = {"cluster_then": "bouncers", "cluster_now": "skimmers", "viewers": 10}
    parts = {
        "trend": section("Viewers and identified people by week.", growth, labels=named),
        "moves": section("200 joined, 40 left; 10 moved.", [moved]),
        "causes": section("Rules and settings are those of the previous run."),
    }
    if news:
        new = by_cluster(viewers=40, people=15, to_call=None, companies=0)
        came = [{"kind": "viewers", "new": 200, "gone": 40, "now": 1247}]
        came.append({"kind": "companies", "new": 0, "gone": None, "now": 18})
        totals = section("In all.", came)
        sentence = "New since run 2026-06-01: 200 viewers, 75 identified people; gone: 40 viewers."
        parts["news"] = section(sentence, new, labels=named, totals=totals)
    shares = {"share_then": 0.26, "share_now": 0.33, "difference": 0.07, "low": 0.03, "high": 0.11}
    converted = by_cluster(
        viewers=[90, 235, 410, 185, 325],
        converted=[45, 60, None, 20, 10],
        rate=[0.5, 0.255, None, 0.108, 0.031],
        low=[0.4, 0.2, None, 0.07, 0.017],
        high=[0.6, 0.32, None, 0.16, 0.056],
        verdict=["higher", *["no clear difference"] * 4],
    )
    called = by_cluster(
        people=[65, 135, 45, 85, 105],
        to_call=[20, 15, None, 0, 10],
        seen_7_days=[20, 15, None, 0, 10],
    )
    said = "48 of 435 identified people are worth a call: a score of 60 or more, seen in 30 days."
    below = {
        "companies": section("12 companies.", [{"size": "5 and more", "companies": 10}]),
        "watch_time": section(
            "1,100 hours were watched.", by_cluster(minutes=4800, minutes_per_viewer=54.2)
        ),
    }
    near = {"cluster": "bouncers", "column": "avg_percent_watched", "lowered": 45, "raised": 50}
    anonymous = {"topic": "anonymous viewers", "share": 0.63}
    return {
        "schema_version": 2,
        "content": section(
            f"Binge Watchers stand out for “{VIDEOS[0]}”.",
            [video],
            videos=section("4 videos reached enough viewers.", seen),
            folders=section("No folder stands out."),
            next_video=section("Binge Watchers go on to “Admin deep dive”.", [follower]),
        ),
        "sources": section(f"Bouncers come by blog.example/{bad}.", [source]),
        "conversions": section("135 of 1,245 viewers converted.", converted),
        "change": section("Bouncers grew from 26 % to 33 %.", by_cluster(**shares), **parts),
        "sensitivity": section("95 viewers stand within a step of a threshold.", [near]),
        "groups": section("The data show no groups of their own."),
        "people": section(said, called, "One row per e-mail.", named, **below),
        "coverage": section("63 % of viewers are anonymous.", [anonymous]),
    }


def retention(*, bad: str = "") -> dict:
    video = {"media_id": "m0", "title": f"{VIDEOS[0]}{bad}"}
    drop = video | {"second": 125, "lost": 0.4, "left": 0.6}
    curve = [
        video | {"second": second, "watching": 1.0 if second < 120 else 0.6, "rewatched": 0.1}
        for second in range(0, 200, 10)
    ]
    return section(
        "“Pricing explained” loses 40 % at 2:05.",
        [drop],
        curves=section("1 video was looked at.", curve),
        peaks=section("No part is watched twice."),
    )


def personas(titles: dict[str, str], *, status: str = "bought") -> dict:
    known = {"status": status, "persona_id": "p1", "credits": 300 if status == "bought" else 0}
    known |= {"facts": [{"text": "A fact of the data.", "from": "clusters.csv"}]}
    cards = []
    for cluster, title in titles.items():
        told = f"A busy lead who watches {title.lower()} to decide this quarter."
        named = {"cluster": cluster, "title": title, "name": title}
        cards.append(named | known | {"description": told})
    return {"schema_version": 1, "personas": cards}


def analysis(**changes) -> dict:
    reply = {"cluster": "binge_watchers", "watch_on": "The log.", "talk_to_sales": "Price"}
    base = {
        "schema_version": 1,
        "status": "answered",
        "asked_on": "2026-06-30",
        "question": "Map these clusters to personas.",
        "answer": ANSWER,
        "by_cluster": {
            "binge_watchers": "- **Conversion probability:** high, for they return.",
            "bouncers": WRONG,
        },
        "closing": "Have sales call every identified binge watcher within 48 hours.",
        "sources": [
            {"title": "Video statistics", "url": "https://example.org/video"},
            {"title": "bad", "url": "javascript:alert(1)"},
        ],
        "credits": 24,
        "figures": [
            {"text": "9,999", "line": WRONG, "verdict": "not in the data", "start": 6},
            {"text": "1,247", "line": "You have 1,247.", "verdict": "found", "start": 9},
        ],
        "unsupported_figures": ["9,999"],
        "confidence": {"score": 0.82, "risk": "low", "unsupported_claims": []},
        "replies": [reply],
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
    table = CLUSTERS.assign(**dict.fromkeys(CLUSTERS.columns[1:], 0)) if empty else CLUSTERS
    table = table.assign(share=table["viewers"] / table["viewers"].sum())
    table = table.assign(identified_share=table["identified_viewers"] / table["viewers"])
    table.to_csv(folder / "data" / "clusters.csv", index=False)
    rules.load().save(folder / "data" / "clusters.yml")
    files = {"personas": personas(dict(rules.load().titles)), "analysis": analysis()}
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
