"""The report: its numbers, its words, what it hides, and the index of all runs."""

import json
import re

import pandas as pd
import pytest
import report_samples as samples
from bs4 import BeautifulSoup

from helpers import plots
from helpers.core.errors import DataError
from helpers.report import data, pages, report
from helpers.run import record

SECTIONS = [
    "answer", "clusters", "content", "change", "people", "personas", "advice", "stability",
    "method", "stamp",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = samples.write(tmp_path_factory.mktemp("outputs") / "2026-07-01", told=True)
    report.build(made)
    return made


@pytest.fixture(scope="module")
def page(folder):
    return BeautifulSoup((folder / "report.html").read_text("utf-8"), "html.parser")


@pytest.fixture(scope="module")
def facts(folder):
    return json.loads((folder / "report.json").read_text("utf-8"))


def text_of(element) -> str:
    return " ".join(element.get_text(" ").replace("\u00a0", " ").split())


def built(folder):
    html = report.build(folder).read_text("utf-8")
    return html, json.loads((folder / "report.json").read_text("utf-8"))


def test_the_ten_sections_stand_in_order_and_none_is_empty(page):
    assert [section["id"] for section in page.main.find_all("section")] == SECTIONS
    for section in page.main.find_all("section"):
        assert len(text_of(section)) > 60


def test_report_json_has_the_sections_and_a_schema_version(facts):
    assert list(facts) == ["schema_version", *SECTIONS]
    assert facts["schema_version"] == 1
    assert facts["advice"]["unsupported_figures"] == ["9,999"]


def test_the_first_screen_answers_who_whom_to_call_what_changed_and_what_to_do(page):
    said = text_of(page.find(id="answer"))
    assert page.h1.get_text() == "1,247 viewers in 5 clusters, 66 worth a call"
    for words in (
        "467 of them are identified: 37 % of 1,247 (95 % interval 35–40 %)",
        "Binge Watchers 89 7 % (6–9 %)", "31 people to call within 48 hours.",
        "Bouncers went from 26 % to 33 %", "Have sales call every identified binge watcher",
        "30 June 2026",
    ):  # fmt: skip
        assert words in said


def test_a_first_run_says_that_it_is_the_first(tmp_path):
    html, facts = built(samples.write(tmp_path / "2026-07-01"))
    assert facts["answer"]["change"] == "This is the first run of the account."
    assert "This is the first run of the account." in html


def test_cluster_rows_carry_the_numbers_of_clusters_csv_with_intervals(facts, folder):
    table = pd.read_csv(folder / "data" / "clusters.csv")
    for row, known in zip(facts["clusters"]["rows"], table.to_dict("records"), strict=True):
        for key, value in known.items():
            assert row[key] == (pytest.approx(value) if isinstance(value, float) else value)
    first = facts["clusters"]["rows"][0]
    assert (first["low"], first["high"]) == pytest.approx((0.0583601, 0.0870152), abs=1e-6)
    assert first["title"] == "Binge Watchers"


def test_groups_under_min_cell_are_hidden_and_cannot_be_subtracted(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01")
    people = pd.read_parquet(folder / "data" / "viewers.parquet")
    people.loc[people["cluster"] == "skimmers", "video_count"] = [2] * 150 + [4] * 33 + [7] * 4
    people.to_parquet(folder / "data" / "viewers.parquet")
    _, facts = built(folder)
    completion = facts["clusters"]["completion"]
    rows = {row["cluster"]: row["cells"] for row in completion["rows"]}
    assert completion["videos"] == ["1", "2", "3–4", "5–9", "10+"]
    assert rows["skimmers"][3] is None
    assert sum(cell is None for cell in rows["skimmers"]) >= 2
    assert rows["bouncers"][0]["viewers"] == 412
    for row in completion["rows"]:
        assert all(c is None or c["viewers"] == 0 or c["viewers"] >= 10 for c in row["cells"])


def test_hours_with_few_sessions_are_hidden(facts):
    hours = [hour for row in facts["clusters"]["times"]["rows"] for hour in row["hours"]]
    assert None in hours and all(hour is None or hour == 0 or hour >= 10 for hour in hours)


def test_people_are_counted_by_recency_from_the_end_of_the_window(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01")
    people = pd.read_parquet(folder / "data" / "viewers.parquet")
    known = people["identified"] & (people["cluster"] == "binge_watchers")
    ends = pd.to_datetime(["2026-06-24T00:00Z"] * 20 + ["2026-06-23T23:59Z"] * 20
                          + ["2026-05-31T23:59Z"] * 27)  # fmt: skip
    people.loc[known, "last_active"] = ends.as_unit("us")
    people.to_parquet(folder / "data" / "viewers.parquet")
    _, facts = built(folder)
    row = facts["people"]["rows"][0]
    assert row["identified"] == 67
    assert [cell for cell in row["cells"] if cell is not None] == [20, 20, 27]


def test_no_name_or_address_stands_in_the_report(folder):
    for name in ("report.html", "report.json"):
        text = (folder / name).read_text("utf-8")
        assert "@" not in re.sub(r"@(media|page)", "", text)
        assert "Viewer 3" not in text


def test_with_show_identities_the_first_of_each_list_are_named(tmp_path):
    parameters = {"min_cell": 10, "show_identities": True}
    folder = samples.write(tmp_path / "2026-07-01", parameters=parameters)
    (folder / "private").mkdir()
    (folder / "private" / "outreach_binge_watchers.csv").write_text(
        "email,reason\n'=ada@x.example,finished 6 of 7\n"
    )
    html, facts = built(folder)
    assert facts["people"]["names"][0]["rows"] == [["=ada@x.example", "finished 6 of 7"]]
    assert "=ada@x.example" in html and "personal data" in html
    banners = BeautifulSoup(html, "html.parser").select("aside.banner strong")
    assert [text_of(banner) for banner in banners] == ["Invented sample data", "Personal data"]


@pytest.mark.parametrize(
    ("wistia", "mavera", "banner"),
    [("sandbox", "sandbox", "Invented sample data"), ("sandbox", "live", "Invented viewers"),
     ("live", "sandbox", "Simulated advice"), ("live", "live", None)],
)  # fmt: skip
def test_a_banner_says_which_service_was_the_sandbox(tmp_path, wistia, mavera, banner):
    source = {"wistia": wistia, "mavera": mavera}
    html, _ = built(samples.write(tmp_path / "2026-07-01", source=source))
    page = BeautifulSoup(html, "html.parser")
    if banner is None:
        assert page.aside is None and "sandbox" not in page.find(id="personas").get_text()
    else:
        assert page.aside.strong.get_text() == banner
        assert page.title.get_text().startswith(f"[{banner}] Viewers of sandbox, 1 July 2026")


def test_what_mave_wrote_is_marked_and_its_unsupported_figures_are_too(page):
    advice = page.find(id="advice")
    assert "9,999" in text_of(advice.mark)
    assert all(
        "AI" in text_of(block.find(class_="by")) for block in page.find_all(class_="ai-text")
    )
    card = page.find(id="personas").find_all("article")[2]
    assert "9,999" in text_of(card.mark)
    links = [a["href"] for a in advice.find_all("a") if not a["href"].startswith("#")]
    assert links == ["https://example.org/video"]


def test_a_question_asked_back_is_not_shown_as_advice(tmp_path):
    answer = samples.analysis(status="clarifying", answer="Which product?", closing=None)
    html, facts = built(samples.write(tmp_path / "2026-07-01", analysis=answer))
    assert facts["advice"]["finding"].startswith("Mave asked a question back")
    assert facts["answer"]["action"]["by"] is None
    assert "This is a question, not advice." in html


def test_drafts_that_were_not_bought_are_told_as_such(tmp_path):
    from helpers.store import rules

    cards = samples.personas(dict(rules.load().titles), status="draft")
    html, facts = built(samples.write(tmp_path / "2026-07-01", personas=cards))
    assert facts["personas"]["finding"] == "5 personas drafted, none bought: nothing was spent."
    assert "draft, not bought" in html


def test_an_account_without_identified_viewers_has_nobody_to_call(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01")
    table = pd.read_csv(folder / "data" / "clusters.csv").assign(identified_viewers=0)
    table.to_csv(folder / "data" / "clusters.csv", index=False)
    html, facts = built(folder)
    assert facts["answer"]["headline"] == "1,247 viewers in 5 clusters"
    assert facts["answer"]["call"] == "Nobody is identified: there is no one to call."
    assert "<strong>None</strong> of them is identified." in html


def test_only_the_first_cluster_is_worth_a_call(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01", analysis={"status": "not_asked"})
    table = pd.read_csv(folder / "data" / "clusters.csv")
    table.loc[0, "identified_viewers"] = 0
    table.to_csv(folder / "data" / "clusters.csv", index=False)
    answer = built(folder)[1]["answer"]
    assert answer["headline"] == "1,247 viewers in 5 clusters" and answer["calls"] == 0
    assert answer["call"].startswith("Nobody identified is among Binge Watchers")
    assert answer["action"]["text"].startswith("Write to the people of private/outreach_engaged")


def test_a_first_cluster_of_people_who_opted_out_is_not_worth_a_call(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01", told=True, analysis={"status": "not_asked"})
    known = json.loads((folder / "data" / "insights.json").read_text("utf-8"))
    known["outreach"]["rows"] = [
        {"cluster": name, "people": 0 if name == "binge_watchers" else 5, "hours_48": 0, "week": 0}
        for name in samples.SIZES
    ]
    (folder / "data" / "insights.json").write_text(json.dumps(known), "utf-8")
    answer = built(folder)[1]["answer"]
    assert answer["headline"] == "1,247 viewers in 5 clusters"
    assert answer["action"]["text"].startswith("Write to the people of private/outreach_engaged")


@pytest.mark.parametrize("differ", [True, False])
def test_why_shares_differ_is_open_where_settings_did(tmp_path, differ):
    folder = samples.write(tmp_path / "2026-07-01", told=True)
    known = json.loads((folder / "data" / "insights.json").read_text("utf-8"))
    known["change"]["more"] = {"causes": samples.part("Why.") | {
        "figures": {"settings_differ": differ}}}  # fmt: skip
    (folder / "data" / "insights.json").write_text(json.dumps(known), "utf-8")
    page = BeautifulSoup(built(folder)[0], "html.parser")
    (why,) = [one for one in page.select("#change details") if "Why." in one.summary.text]
    assert why.has_attr("open") is differ


def test_the_video_that_the_heading_names_is_among_those_shown(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01", told=True)
    table = pd.read_csv(folder / "data" / "affinity.csv")
    more = [table.assign(media_id=f"n{n}", viewers=80, title=f"Often seen {n}")
            for n in range(12)]  # fmt: skip
    rare = table.head(1).assign(media_id="rare", viewers=10, title="Rare")
    pd.concat([table, *more, rare]).to_csv(folder / "data" / "affinity.csv", index=False)
    known = json.loads((folder / "data" / "insights.json").read_text("utf-8"))
    shown = [video["media_id"] for video in built(folder)[1]["content"]["videos"]]
    assert len(shown) == 12 and "rare" not in shown
    known["content"]["figures"] = {"stands_out": "rare"}
    (folder / "data" / "insights.json").write_text(json.dumps(known), "utf-8")
    assert [video["media_id"] for video in built(folder)[1]["content"]["videos"]] == [
        *shown[:-1], "rare",
    ]  # fmt: skip


def test_after_an_erasure_the_page_says_why_numbers_differ(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01")
    assert "erased after this run" not in built(folder)[0]
    record(folder, erased_on="2026-11-24")
    page = BeautifulSoup(built(folder)[0], "html.parser")
    assert "erased after this run, last on 24 November 2026" in text_of(page.find(id="answer"))


def test_no_viewers_in_the_window_is_a_page_that_says_so(tmp_path):
    html, facts = built(samples.write(tmp_path / "2026-07-01", empty=True))
    page = BeautifulSoup(html, "html.parser")
    assert page.h1.get_text() == "No viewers in the window"
    assert facts["answer"]["viewers"] == 0
    assert [section["id"] for section in page.main.find_all("section")] == SECTIONS
    assert "nan" not in html.casefold().replace("finance", "")


def test_stages_that_did_not_run_are_told_in_a_sentence(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01")
    for name in ("personas.json", "analysis.json", "affinity.csv", "watch_times.csv"):
        (folder / "data" / name).unlink()
    html, facts = built(folder)
    assert facts["personas"]["finding"] == "Personas were not made in this run."
    assert facts["advice"]["finding"] == "Mave was not asked in this run."
    assert "No video has at least 10 viewers" in html


def test_the_same_files_give_the_same_bytes(tmp_path, folder):
    again = samples.write(tmp_path / "2026-07-01", told=True)
    report.build(again)
    for name in ("report.html", "report.json"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_other_days_and_seconds_change_the_stamp_alone(tmp_path, folder):
    again = samples.write(tmp_path / "2026-07-02", told=True, seconds=99.0)
    report.build(again)
    one, two = (json.loads((f / "report.json").read_text("utf-8")) for f in (folder, again))
    assert one.pop("stamp") != two.pop("stamp")
    assert one == two


def test_the_page_is_made_from_report_json_alone(folder):
    facts = json.loads((folder / "report.json").read_text("utf-8"))
    assert report.render(facts) == (folder / "report.html").read_text("utf-8")


def test_cards_set_what_was_observed_beside_what_mave_states(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01", told=True, analysis=samples.analysis(
        by_cluster={"binge_watchers": "- **Conversion probability:** high, for they return.",
                    "bouncers": "Fix the landing page."}))  # fmt: skip
    known = json.loads((folder / "data" / "insights.json").read_text("utf-8"))
    share = {"rate": 0.5, "rate_low": 0.401, "rate_high": 0.599}
    none = dict.fromkeys(share)
    known["conversions"] |= {"figures": {"converted": 100, "viewers": 1000}, "rows": [
        {"cluster": "binge_watchers", "viewers": 89, "observed": "high", **share},
        {"cluster": "engaged_explorers", "viewers": 234, "observed": "medium", **share},
        {"cluster": "bouncers", "viewers": 412, "observed": "hidden", **none},
        {"cluster": "skimmers", "viewers": 24, "observed": "too few to say", **share},
        {"cluster": "casual_viewers", "viewers": 325, "observed": "none seen", **none},
    ]}  # fmt: skip
    (folder / "data" / "insights.json").write_text(json.dumps(known), "utf-8")
    html, facts = built(folder)
    cards = BeautifulSoup(html, "html.parser").select("article.persona")
    assert [text_of(card.find("b", string="Conversion").parent) for card in cards] == [
        "Conversion observed: 50 % of 89 (40–60 %), high beside the 10 % of all viewers. "
        "Stated by Mave: high AI, simulated",
        "Conversion observed: 50 % of 234 (40–60 %), medium (no clear difference) beside the 10 % "
        "of all viewers.",
        "Conversion observed: not shown, for the number who did or did not convert is under 10, "
        "or would tell one that is. Stated by Mave: no probability AI, simulated",
        "Conversion observed: 50 % of 24 (40–60 %), too few viewers to say whether high or low.",
        "Conversion observed: nothing, for no session of the window has a conversion.",
    ]
    assert facts["personas"]["cards"][0]["conversion"] == {
        "observed": "high", "viewers": 89, **share, "rate_of_all": 0.1, "stated": "high",
    }  # fmt: skip


def test_text_from_outside_is_escaped(tmp_path):
    html, _ = built(samples.write(tmp_path / "2026-07-01", hostile=True, told=True))
    page = BeautifulSoup(html, "html.parser")
    assert not page.find_all(["script", "iframe", "object", "link", "form", "img"])
    for element in page.find_all(True):
        assert not [name for name in element.attrs if name.startswith("on")]
        assert not str(element.get("href", "")).casefold().startswith(("javascript", "data"))


def test_the_page_may_ask_for_nothing(folder, page):
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    html = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"(src|url\()\s*=?\s*[\"']?(https?:)?//", html)
    assert len(html) < 500_000


def test_the_page_has_language_title_one_h1_and_tables_with_captions_and_scopes(page):
    assert page.html["lang"] == "en"
    assert page.title.get_text() == "[Invented sample data] Viewers of sandbox, 1 July 2026"
    assert len(page.find_all("h1")) == 1
    for table in page.find_all("table"):
        assert table.caption.get_text(strip=True)
        assert all(th.get("scope") for th in table.find_all("th"))
    assert len({element["id"] for element in page.find_all(id=True)}) == len(page.find_all(id=True))


def test_every_figure_has_its_finding_as_text_and_its_numbers_as_a_table(page):
    for figure in page.find_all("figure"):
        assert text_of(figure.figcaption)
        image = figure.find(role="img")
        assert figure.find("table") or figure.find_next_sibling().name == "div"
        if image:
            assert re.search(r"\d", image["aria-label"])


def test_interval_columns_join_the_value_they_belong_to(page):
    change = text_of(page.find(id="change"))
    assert "+7.0 points (+3.0 to +11.0)" in change
    assert "2.1 (1.6 to 2.8)" in text_of(page.find(id="content"))
    assert "under 0.001" in text_of(page.find(id="content"))
    assert "97 % (95 to 98)" in text_of(page.find(id="stability"))
    assert "Anonymous viewers 780 63 %" in text_of(page.find(id="method"))


def test_a_hidden_cell_of_who_moved_is_told_as_few(page):
    cells = [text_of(cell) for cell in page.find(id="change").find("table", class_="shade")("td")]
    assert cells == ["60", "few", "12"]


def test_the_next_video_to_send_stands_on_the_card_of_the_persona(page):
    assert "Send next “Admin deep dive”" in text_of(page.find(id="personas").article)


def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path):
    (tmp_path / "2026-07-01").mkdir()
    with pytest.raises(DataError, match="2026-07-01.*clusters.csv"):
        data.gather(tmp_path / "2026-07-01")


@pytest.mark.parametrize(
    ("closing", "point"),
    [("**Most valuable**: x. The one action that converts: *call them*. Today.",
      "The one action that converts: call them. Today."),
     ("1. Call `Acme`.\n2. Write.", "Call Acme. Write."), ("word " * 90, None)],
)  # fmt: skip
def test_the_action_of_a_long_closing_is_brought_to_the_point(closing, point):
    said = data._to_the_point(closing)
    assert said == point if point else said.endswith("…") and len(said) <= 262


def test_the_index_lists_runs_by_account_newest_first_in_numbers(tmp_path):
    for name in ("2026-06-01.9", "2026-06-01.10", "2026-06-01", "2026-05-30"):
        samples.write(tmp_path / name)
    samples.write(tmp_path / "2026-06-02", account="brightpath")
    samples.write(tmp_path / "dev")
    page = BeautifulSoup(report.index(tmp_path).read_text("utf-8"), "html.parser")
    names = [text_of(h3).split()[0] for h3 in page.find_all("h3")]
    assert names == ["2026-06-02", "2026-06-01.10", "2026-06-01.9", "2026-06-01", "2026-05-30"]
    assert [text_of(h2) for h2 in page.find_all("h2")] == ["Account brightpath", "Account sandbox"]
    assert "1,247 viewers" in text_of(page.main)


def test_the_index_links_what_is_there_by_relative_links(tmp_path):
    folder = samples.write(tmp_path / "2026-06-01")
    report.build(folder)
    (folder / "01_fetch.html").write_text("x")
    page = BeautifulSoup(report.index(tmp_path).read_text("utf-8"), "html.parser")
    links = {a["href"] for a in page.main.find_all("a")}
    assert links == {"2026-06-01/report.html", "2026-06-01/01_fetch.html"}


def test_a_failed_run_shows_why_and_how_to_go_on(tmp_path):
    stages = {"01_fetch": {"status": "done"}, "02_enrich": {"status": "failed"}}
    error = {"kind": "AccessError", "message": f"Wistia: 401 {samples.HOSTILE}"}
    samples.write(tmp_path / "2026-06-01", status="failed", stages=stages, error=error)
    html = report.index(tmp_path).read_text("utf-8")
    said = text_of(BeautifulSoup(html, "html.parser").main)
    assert "Failed at 02_enrich. Wistia: 401" in said
    assert "viewer-personas run --resume 2026-06-01" in said
    assert "<script" not in html


@pytest.mark.parametrize("credits", [{"before": 5000}, {}, None])
def test_the_index_lists_a_run_that_stopped_before_it_knew_its_credits(tmp_path, credits):
    samples.write(tmp_path / "2026-06-01", credits=credits)
    page = BeautifulSoup(report.index(tmp_path).read_text("utf-8"), "html.parser")
    assert "sessions" in text_of(page.main) and "credits" not in text_of(page.main)


def test_the_index_lists_accounts_with_outputs_folders_of_their_own(tmp_path):
    report.build(samples.write(tmp_path / "north" / "2026-06-01", account="north"))
    samples.write(tmp_path / "north" / "dev")
    samples.write(tmp_path / "south" / "2026-06-02.2", status="failed")
    samples.write(tmp_path / "2026-06-03", account="live")
    page = BeautifulSoup(report.index(tmp_path).read_text("utf-8"), "html.parser")
    heads = ["Account live", "Account north", "Account south (sandbox)"]
    assert [text_of(h2) for h2 in page.find_all("h2")] == heads
    assert [text_of(h3).split()[0] for h3 in page.find_all("h3")] == [
        "2026-06-03", "2026-06-01", "2026-06-02.2",
    ]  # fmt: skip
    assert {a["href"] for a in page.main.find_all("a")} == {"north/2026-06-01/report.html"}
    assert text_of(page.main).count("Invented sample data") == 1
    assert "--resume" not in text_of(page.main)  # it would need the account's keys and folder


def test_an_index_without_runs_says_how_to_make_one(tmp_path):
    assert "make report" in report.index(tmp_path).read_text("utf-8")


def test_the_style_holds_the_palette_of_the_figures():
    css = pages.environment().globals["css"]
    assert all(colour in css for colour in plots.COLOURS + plots.DARK)


def test_headings_from_outside_leave_no_level_out():
    html = "<h1>a</h1><h2>b</h2><h6 id='x'>c</h6><h4>d</h4><h6>e</h6><h6>f</h6><h2>g</h2>"
    assert pages.headings_in_order(html) == (
        "<h1>a</h1><h2>b</h2><h3 id='x'>c</h3><h3>d</h3><h4>e</h4><h4>f</h4><h2>g</h2>"
    )
