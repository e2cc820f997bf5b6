"""Which figures of a text the data hold, which they do not, and what is no figure at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.mavera import claims

DATA = {
    "total_viewers": 1247, "window_days": 730,
    "clusters": [
        {"cluster": "binge_watchers", "title": "Binge Watchers", "viewers": 89, "share": 0.0714,
         "rule": "video_count >= 5 AND avg_percent_watched >= 75", "avg_videos": 6.21,
         "avg_percent_watched": 82.4, "identified_viewers": 67, "identified_share": 0.7528,
         "percent_watched": {"p10": 76.1, "p50": 82.0, "p90": 95.5},
         "top_videos": [{"title": "10 tips for onboarding", "viewers": 40}]},
        {"cluster": "bouncers", "title": "Bouncers", "viewers": 412, "share": 0.3304,
         "rule": "video_count = 1 AND avg_percent_watched < 30", "avg_percent_watched": 18.3},
    ],
    "personas": [{"cluster": "bouncers", "name": "Bouncers", "description": "9 of them left."}],
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "89 viewers", "1,247 viewers", "1247", "1\u202f247 viewers", "1.247 viewers",
        "82.4%", "82 %", "82 percent", "7.1% of all", "7 %", "7.14 %", "33%", "**89**", "_89_",
        "67 of the 89", "75.3 %", "6.2 videos each", "76–96 %", "from 76 to 96 %", "9 of them",
        "about 1,200 viewers", "~1,250", "roughly 80%", "1 in 14", "at the 90 % point", "p90",
        "0.33 of all viewers",
    ],
)  # fmt: skip
def test_a_figure_of_the_data_is_held_after_rounding(text):
    assert claims.unsupported(text, DATA) == []


@pytest.mark.parametrize(
    "text",
    [
        "within 48 hours", "30 minutes", "2 weeks", "a 90-second clip", "2–3 weeks", "14-day trial",
        "30 to 60 seconds", "between 2 and 10 minutes", "5–10 business days", "48h", "12+ months",
        "the 3rd visit", "1st", "1. First", "2) Then", "## 2. Persona profile", "**3.** Outreach",
        "### 4 Outreach", "(1) call, (2) write", "1️⃣ Call", "Step 2: call", "Day 7", "top 3",
        "5+ videos", "8+ videos", "75 % or more", "under 30%", "75%+ of each", "5 or more videos",
        "5 videos or more", "at least 75% completion", "≥ 5 videos", "**5+** videos", "over 75 %",
        "reach 75% completion", "fewer than 5 videos", "75% of each video",
        "in 2026", "Q3 launch", "B2B", "v2", "GPT-4", "1080p", "GA4", "24/7", "9:30 am", "at 6 pm",
        "June 30, 2026", "30 June", "2026-06-30", "06/30/2026", "3-part series", "2x per week",
        "aged 25–34", "a 30-year-old", "see [12]", "https://x.example/99999?a=123", "one-third",
        "[the guide](https://x.example/77)", "“10 tips for onboarding”", "Phase 2", "version 2.0.1",
        "Days 1–3", "Steps 1 and 2", "between 9 and 11 am", "9–11 a.m.", "weeks 1, 2 and 4",
    ],
)  # fmt: skip
def test_what_is_no_figure_is_left_alone(text):
    assert claims.unsupported(text, DATA) == []


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1,300 viewers", "1,300"), ("83.4% watched", "83.4%"), ("82.5 %", "82.5 %"),
        ("worth $5,000 a year", "$5,000"), ("€1.5M", "€1.5M"), ("2,500 EUR", "2,500 EUR"),
        ("3x more likely", "3x"), ("a 5-fold rise", "5-fold"), ("12k views", "12k"),
        ("1.2 million plays", "1.2 million"), ("10–15 % conversion", "10–15 %"),
        ("40 % reply", "40 %"), ("25 percentage points", "25 percentage points"),
        ("500+ viewers", "500"), ("over 90% convert", "90%"), ("1 in 4 convert", "1 in 4"),
        ("3 out of 5", "3 out of 5"), ("about 1,300", "1,300"), ("30% of them reply", "30%"),
        ("2000 viewers", "2000"), ("a 45-viewer group", "45"), ("**1,111**", "1,111"),
        ("_45_ of them", "45"), ("89%", "89%"), ("1200 viewers", "1200"), ("(53 viewers)", "53"),
        ("| Bouncers | 413 |", "413"), ("88, not 89", "88"), ("0.4 of all", "0.4"),
        ("45 percent", "45 percent"), ("82,9 %", "82,9 %"),
    ],
)  # fmt: skip
def test_a_figure_the_data_do_not_hold_is_listed_as_written(text, written):
    assert claims.unsupported(text, DATA) == [written]


def test_figures_are_listed_once_and_in_order():
    text = "First 99 viewers, then 55 %, and again 99 viewers; 89 are right."
    assert claims.unsupported(text, DATA) == ["99", "55 %"]


def test_a_text_without_data_holds_nothing():
    assert claims.unsupported("89 viewers in 2 weeks", {}) == ["89"]


@given(st.integers(0, 10**7), st.integers(0, 2))
def test_any_number_of_the_data_is_held_in_any_usual_form(number, places):
    data = {"clusters": [{"viewers": number, "avg_percent_watched": number % 101 / 1.0}]}
    text = f"{number:,} or {number} viewers, {number % 101:.{places}f} % of it"
    assert claims.unsupported(text, data) == []


@given(st.floats(0, 1), st.integers(0, 1))
def test_a_share_is_held_as_a_rounded_percent(share, places):
    data = {"share": round(share, 4)}
    assert claims.unsupported(f"{data['share'] * 100:.{places}f} %", data) == []


@given(st.text(max_size=300))
def test_no_text_breaks_the_search(text):
    for figure in claims.figures(text):
        assert text[figure.start : figure.end] == figure.text
