"""The report: its numbers, its words, what it hides, its PDF, and the index of all runs."""

import json
import os
import re
import shutil

import pytest
import report_samples as samples
from bs4 import BeautifulSoup

from helpers.core.errors import DataError, ServiceError
from helpers.core.folders import record
from helpers.report import data, pages, report
from helpers.store import rules

SECTIONS = ["answer", "clusters", "content", "retention", "change", "people", "personas", "advice"]
SECTIONS += ["stability", "method", "stamp"]


def built(folder):
    page = BeautifulSoup(report.build(folder).read_text("utf-8"), "html.parser")
    return page, json.loads((folder / "report.json").read_text("utf-8"))


@pytest.fixture
def make(tmp_path):
    """A function that builds the report of a run with changes: page and facts."""
    return lambda **changes: built(samples.write(tmp_path / "2026-07-01", **changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return samples.write(tmp_path_factory.mktemp("outputs") / "2026-07-01")


@pytest.fixture(scope="module")
def both(folder):
    return built(folder)


@pytest.fixture
def page(both):
    return both[0]


@pytest.fixture
def facts(both):
    return both[1]


def text_of(element) -> str:
    return " ".join(element.get_text(" ").replace("\u00a0", " ").split())


def test_the_eleven_sections_stand_in_order_in_page_and_json(page, facts, folder):
    assert [section["id"] for section in page.main.find_all("section")] == SECTIONS
    assert list(facts) == ["schema_version", *SECTIONS] and facts["schema_version"] == 2
    assert all(len(facts[name]["finding"]) > 10 for name in SECTIONS)
    assert [text_of(link) for link in page.nav("a")] == [*data.SECTIONS.values()]
    insights = json.loads((folder / "data" / "insights.json").read_text("utf-8"))
    insights["content"]["parts"] |= {name: insights[name] for name in ("sources", "conversions")}
    assert facts["change"] == insights["change"] and facts["content"] == insights["content"]
    assert facts["stability"]["rows"] == insights["sensitivity"]["rows"]


def test_the_first_screen_tells_the_news_whom_to_call_and_one_action(page, facts):
    said = text_of(page.find(id="answer"))
    assert text_of(page.h1) == "New since run 2026-06-01: 200 viewers, 75 identified people"
    assert "1,247 viewers in all, 467 of them identified: 435 people" in said
    assert "They watched 1,100 hours in 3,456 sessions." in said
    assert "48 people to call of 435 identified people are worth a call" in said
    assert "Have sales call every identified binge watcher" in said and "AI, simulated" in said
    assert facts["answer"]["people_to_call"] == 48


def test_a_first_run_of_an_account_without_a_name_tells_what_there_is(make):
    found = samples.insights(news=False)
    found["people"]["parts"]["watch_time"] = samples.section("No length of a video is known.")
    page, facts = make(insights=found, account="live")
    assert "There are 3,456 sessions." in text_of(page.find(id="answer"))
    assert "Watch time. No length of a video is known." in text_of(page.find(id="method"))
    assert text_of(page.h1) == "1,247 viewers in 5 clusters" and facts["answer"]["news"] is None
    assert "Account: not named" in text_of(page.header) and "live" not in text_of(page.header)


def test_clusters_are_those_of_clusters_csv_and_intervals_join_their_values(facts, page):
    rows = facts["clusters"]["rows"]
    assert [row["viewers"] for row in rows] == [89, 234, 412, 187, 325]
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx((0.0583601, 0.0870152), abs=1e-6)
    assert "Binge Watchers 89 · 7 % (6–9 %) 8.1 82 % 3.5 67" in text_of(page.find(id="clusters"))
    assert "+7.0 points (+3.0 to +11.0)" in text_of(page.find(id="change"))
    assert "2.1 (1.6 to 2.8)" in text_of(page.find(id="content"))
    assert "m0" not in text_of(page.main)  # an id gives way to its title


def test_a_hidden_count_is_null_and_few_and_a_missing_value_a_dash(page, facts):
    assert facts["people"]["rows"][2]["to_call"] is None
    assert "Bouncers 45 few few" in text_of(page.find(id="people").table)
    assert "Bouncers 410 few – no clear difference" in text_of(page.find(id="content"))
    cells = [text_of(cell) for cell in page.find("table", class_="shade").tbody.tr("td")]
    assert cells == ["20 %", "30 %", "few", "10 %", "18 %"]
    assert "companies 0 – 18" in text_of(page.find(id="change")), "gone are not counted"
    column = {"key": "minutes", "missing": "few"}
    assert pages.cell({"minutes": None, "known": 0}, column) == "–", "no length is known"
    assert pages.cell({"minutes": None, "known": 0.9}, column) == "few"


def test_a_long_table_says_how_much_of_it_is_shown(make):
    many = samples.insights()
    many["sources"]["rows"] *= 250
    page, facts = make(insights=many)
    assert "The first 100 of 250 rows" in text_of(page.find(id="content"))
    assert len(facts["content"]["parts"]["sources"]["rows"]) == 250


def test_parts_with_nothing_to_say_are_lines_of_one_list(page):
    lines = [text_of(line) for line in page.find(id="method").find_all("ul")[-1]("li")]
    named = ["Folders", "Peaks", "Why shares may differ", "Groups the data show by themselves"]
    assert [line.partition(".")[0] for line in lines] == named
    assert all(text_of(page).count(line) == 1 for line in lines)


def test_drops_and_trend_are_told_in_words_and_drawn_with_a_text_alternative(page):
    retention, change = page.find(id="retention"), page.find(id="change")
    assert "at 2:05 : 40 % of those who started leave, 60 % are left" in text_of(retention)
    assert "at the end 60\u00a0%" in retention.svg["aria-label"]
    assert (
        "Viewers: 40 in the first shown, 165 in the last" in change.find(role="img")["aria-label"]
    )
    lengths = [len(line["points"].split()) for line in change.find(role="img")("polyline")]
    assert lengths == [26, 3, 22], "a hidden number is a gap"
    assert "19 Jan 2026 55 few" in text_of(change)


def test_cards_set_what_the_data_say_beside_the_word_of_mave(page, make):
    cards = [text_of(card) for card in page.select("article.persona")]
    assert "8.1 videos each; 54.2 minutes each, where lengths are known" in cards[0]
    assert "Send next “Admin deep dive”" in cards[0]
    assert "50 % of viewers (40–60 %), higher than the others; Mave says high AI" in cards[0]
    assert "Conversion few, or all but few, of its viewers" in cards[2]
    said = {
        "binge_watchers": "Conversion likelihood is very Low.",
        "engaged_explorers": "**Conversion potential**: low to moderate",
        "bouncers": "Conversion probability: unclear, engagement is high",
    }
    _, facts = make(analysis=samples.analysis(by_cluster=said))
    stated = [card["conversion"]["stated"] for card in facts["personas"]["cards"]]
    assert stated == ["low", "low to moderate", None, None, None]


def test_unsupported_figures_are_marked_wherever_they_stand_and_sources_lead_to_the_web(
    page, facts
):
    assert facts["advice"]["unsupported_figures"] == ["9,999"]
    assert len(page.find_all("mark")) == 3  # in the list, in the card, in the whole answer
    assert all("AI" in text_of(block.find(class_="by")) for block in page(class_="ai-text"))
    links = {a["href"] for a in page.find(id="advice")("a")}
    assert links == {"https://example.org/video", "https://example.org/page"}
    assert "(example.org)" in text_of(page.find(class_="sources"))


@pytest.mark.parametrize(
    ("wistia", "mavera", "banner"),
    [
        ("sandbox", "sandbox", "Invented sample data"),
        ("sandbox", "live", "Invented viewers"),
        ("live", "sandbox", "Simulated advice"),
        ("live", "live", None),
    ],
)
def test_a_banner_says_which_service_was_the_sandbox(make, wistia, mavera, banner):
    page, _ = make(source={"wistia": wistia, "mavera": mavera}, account="Bright-EU")
    assert (text_of(page.aside.strong) if page.aside else None) == banner
    assert ("imulated" in text_of(page.main)) == (mavera == "sandbox")
    assert "Account: Bright-EU" in text_of(page.header)


def test_days_are_written_in_one_form(page):
    text = "2026-06-05 to 2026-06-30T10:00:00+00:00, 2026-07; 2026-13-45 a-2026-06-05b"
    text += ", run 2026-07-01.6"
    written = "5 Jun 2026 to 30 Jun 2026, Jul 2026; 2026-13-45 a-2026-06-05b, run 2026-07-01.6"
    assert pages.dated(text).replace("\u00a0", " ") == written
    outside_code = re.sub(r"<code>.*?</code>|[Rr]un:? [\d-]{10}", "", str(page.main))
    assert not re.findall(r">[^<]*\d{4}-\d\d-\d\d", outside_code)


def test_a_report_names_nobody_unless_identities_are_shown(tmp_path, both):
    for whole in both:
        assert "@" not in re.sub(r"@(media|page)", "", str(whole))
    shown = {"min_cell": 10, "show_identities": True}
    other = samples.write(tmp_path / "2026-07-01", parameters=shown)
    (other / "private").mkdir()
    people = "email,reason\n'=ada@x.example,finished 6 of 7\n,\n"
    (other / "private" / "outreach_binge_watchers.csv").write_text(people)
    page, facts = built(other)
    shown = facts["people"]["names"][0]["rows"]
    assert shown == [["=ada@x.example", "finished 6 of 7"], ["", ""]]
    assert [text_of(one) for one in page.select("aside strong")][1] == "Personal data"


def test_a_question_asked_back_is_not_shown_as_advice(make):
    asks = samples.analysis(status="clarifying", answer="Which product?", closing=None)
    page, facts = make(analysis=asks)
    assert "asked a question back" in facts["advice"]["finding"]
    assert facts["answer"]["action"]["by"] is None
    assert "This is a question, not advice." in text_of(page)


def test_without_purchases_and_people_the_page_says_what_can_be_done(make):
    cards = samples.personas(dict(rules.load().titles), status="draft")
    counts = {"viewers": 1247, "people_to_call": 0}
    page, facts = make(personas=cards, counts=counts, analysis={"status": "not_asked"})
    assert "5 drafted, not bought" in facts["personas"]["finding"]
    assert "0 people to call" in text_of(page.find(id="answer"))
    assert "e-mail gate" in facts["answer"]["action"]["text"]


def test_no_viewers_in_the_window_is_a_page_that_says_so(make):
    page, facts = make(empty=True)
    assert text_of(page.h1) == "No viewers in the window" and facts["answer"]["viewers"] == 0
    assert [section["id"] for section in page.main.find_all("section")] == SECTIONS
    assert "nan" not in text_of(page).casefold()


def test_stages_that_did_not_run_and_deletions_since_are_told_in_a_line(tmp_path):
    folder = samples.write(tmp_path / "2026-07-01", told=False)
    record(folder, erased_on="2026-11-24")
    for name in ("personas", "analysis"):
        (folder / "data" / f"{name}.json").unlink()
    page, facts = built(folder)
    assert facts["personas"]["finding"] == "Personas were not made in this run."
    assert facts["advice"]["finding"] == "Mave was not asked in this run."
    assert page.find(id="retention").details is None
    assert "deleted after this run, last on 24 Nov 2026" in text_of(page.find(id="answer"))


def test_the_same_files_give_the_same_page_and_other_seconds_another_stamp(make, both, tmp_path):
    assert make() == both
    first = (tmp_path / "2026-07-01" / "report.html").read_bytes()
    assert report.build(tmp_path / "2026-07-01").read_bytes() == first
    _, later = built(samples.write(tmp_path / "2026-07-02", seconds=99.0))
    assert BeautifulSoup(report.render(both[1]), "html.parser") == both[0]
    stamps = [whole["stamp"] for whole in (both[1], later)]
    assert stamps[0] != stamps[1] and both[1] | {"stamp": 0} == later | {"stamp": 0}


def test_the_page_may_ask_for_nothing_is_small_and_well_formed(folder, page):
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    html = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"(src|url\()\s*=?\s*[\"']?(https?:)?//", html)
    assert len(html) < 200_000
    assert page.html["lang"] == "en" and len(page.find_all("h1")) == 1
    ids = [element["id"] for element in page.find_all(id=True)]
    assert len(set(ids)) == len(ids)
    for tag in ("b", "strong", "p", "ul", "li", "table", "details", "section"):
        assert len(re.findall(rf"<{tag}[ >]", html)) == html.count(f"</{tag}>"), tag


def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="2026-07-01.*clusters.csv"):
        report.build(tmp_path / "2026-07-01")


def test_the_action_of_a_long_closing_is_brought_to_the_point():
    closing = "**Most valuable**: x. The one action that converts: *call them*. Today."
    assert data.to_the_point(closing) == "The one action that converts: call them. Today."
    assert data.to_the_point("1. Call `Acme`.\n2. Write.") == "Call Acme. Write."
    long = data.to_the_point("word " * 90)
    assert long.endswith("…") and len(long) <= 262


@pytest.mark.parametrize("browser", [None, os.path.realpath("/bin/false")])
def test_without_a_browser_that_prints_a_pdf_is_refused_in_a_line(folder, monkeypatch, browser):
    monkeypatch.setattr(shutil, "which", lambda name: browser)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServiceError, match=r"No chromium .* printed report\.html.*print it"):
        report.render_pdf(folder / "report.html")


def index_of(outputs):
    return BeautifulSoup(report.index(outputs).read_text("utf-8"), "html.parser")


def test_the_index_lists_runs_by_account_newest_first_in_numbers(tmp_path):
    assert "make report" in text_of(index_of(tmp_path))
    for name in ("2026-06-01.9", "2026-06-01.10", "2026-06-01", "2026-05-30", "dev"):
        samples.write(tmp_path / name)
    samples.write(tmp_path / "2026-06-02", account="live")
    page = index_of(tmp_path)
    names = [text_of(h3).split()[0] for h3 in page.find_all("h3")]
    assert names == ["2026-06-02", "2026-06-01.10", "2026-06-01.9", "2026-06-01", "2026-05-30"]
    assert [text_of(h2) for h2 in page("h2")] == ["Account: not named", "Account: sandbox"]
    assert "1,247 viewers" in text_of(page.main)


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        ("AccessError", f"Wistia: 401 {samples.HOSTILE}", "Failed at 02_enrich. Wistia: 401"),
        ("KeyboardInterrupt", "Interrupted", "Interrupted at 02_enrich. Go on where it stopped"),
    ],
)
def test_a_run_that_failed_shows_why_and_how_to_go_on(tmp_path, kind, message, said):
    stages = {"01_fetch": {"status": "done"}, "02_enrich": {"status": "failed"}}
    failed = {"status": "failed", "stages": stages, "error": {"kind": kind, "message": message}}
    samples.write(tmp_path / "2026-06-01", **failed, credits={})
    page = index_of(tmp_path)
    assert said in text_of(page.main) and not page.script
    assert ".venv/bin/viewer-personas run --resume 2026-06-01" in text_of(page.main)


def test_the_index_links_the_outputs_folders_that_accounts_have_of_their_own(tmp_path):
    north = samples.write(tmp_path / "north" / "2026-06-01", account="north")
    report.build(north)
    (north / "01_fetch.html").touch()
    samples.write(tmp_path / "south" / "2026-06-02.2", status="failed")
    page = index_of(tmp_path)
    assert [text_of(h2) for h2 in page("h2")] == ["Account: north", "Account: south (sandbox)"]
    links = {a["href"] for a in page.main.find_all("a")}
    assert links == {"north/2026-06-01/report.html", "north/2026-06-01/01_fetch.html"}
    assert "--resume" not in text_of(page.main)  # it would need the account's keys and folder


def test_headings_from_outside_leave_no_level_out():
    given = "<h1>a</h1><h2>b</h2><h6 id='x'>c</h6><h4>d</h4><h6>e</h6><h6>f</h6><h2>g</h2>"
    order = "<h1>a</h1><h2>b</h2><h3 id='x'>c</h3><h3>d</h3><h4>e</h4><h4>f</h4><h2>g</h2>"
    assert pages.headings_in_order(given) == order


def test_what_is_as_popular_with_all_is_called_so(make):
    found = samples.insights()
    follower = found["content"]["parts"]["next_video"]["rows"][0]
    follower |= {"share_of_next": 0.092, "share_of_all": 0.094}
    page, _ = make(insights=found)
    assert "Send next “Admin deep dive”, popular with all" in text_of(page.main)


def test_nobody_to_call_is_said_without_a_list_of_names(make):
    page, _ = make(counts={"people": 0, "people_to_call": 0})
    assert "outreach.xlsx" not in text_of(page.find(id="answer"))


def test_a_card_says_where_the_rate_of_sessions_tells_otherwise(make):
    found = samples.insights()
    found["conversions"]["rows"][0]["verdict_per_session"] = "lower"
    page, _ = make(insights=found)
    assert "higher than the others, per session lower" in text_of(page.main)
