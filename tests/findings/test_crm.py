"""Private files: each person right in every file, and nothing in them that runs."""

import csv
import re
import stat
from datetime import date
from types import SimpleNamespace
from xml.sax.saxutils import unescape
from zipfile import ZipFile

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scoring import ANN, MEDIAS, RULES, visitor
from viewing import session, tables, window

from helpers.findings import crm, scoring
from helpers.findings.change import Previous

HOSTILE = "=cmd|' /C calc'!A0"
"""What a stranger types into a form."""
MAY = window(date(2026, 5, 4), date(2026, 5, 31))


def rows_of(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def book_of(path):
    """Sheet names, the XML of each sheet, and all texts of a workbook."""
    with ZipFile(path) as parts:
        names = re.findall(r'<sheet name="([^"]*)"', parts.read("xl/workbook.xml").decode())
        sheets = [parts.read(f"xl/worksheets/sheet{n + 1}.xml").decode() for n in range(len(names))]
        texts = re.findall(r"<t[^>]*>([^<]*)</t>", parts.read("xl/sharedStrings.xml").decode())
    return names, sheets, [unescape(text) for text in texts]


def write(folder, sessions, visitors, *, period=None, previous=None, opt_out=frozenset(), **more):
    engine = tables(sessions, visitors=visitors, medias=MEDIAS)
    people = scoring.read_people(engine, RULES, period or window(), opt_out=opt_out)
    then = crm.read_people_then(engine, previous)
    folder.mkdir(exist_ok=True)
    crm.write_files(
        folder, people, RULES, period or window(), people_then=then, opt_out=opt_out, **more
    )
    return {row["Email"]: row for row in rows_of(folder / "crm_hubspot.csv")}


def previous(folder, viewers_path=None):
    return Previous("2026-06-01", MAY, RULES, viewers_path, folder / "crm_hubspot.csv", {})


def finished(key, videos, day=0):
    return [session(key, f"v{n}", 0.95, day=day) for n in range(videos)]


@pytest.fixture
def two_runs(tmp_path):
    """stays, moves, leaves, asks (opts out), goes (leaves and opts out) in May; joins in June."""
    keys = ["stays", "moves", "leaves", "asks", "goes"]
    may = [row for key in keys for row in finished(key, 3, day=-20)]
    visitors = [visitor(key, f"{key.title()}@acme.example") for key in [*keys, "joins"]]
    write(tmp_path / "may", may, visitors[:5], period=MAY)
    june = [*finished("stays", 3), *finished("moves", 6), *finished("asks", 3)]
    june += [*finished("joins", 1), session("cookie2", "v1", 0.4, minutes=10)]
    visitors += [visitor("cookie2", "joins@ACME.example")]
    out = frozenset({"asks@acme.example", "goes@acme.example"})
    rows = write(
        tmp_path / "june", june, visitors, previous=previous(tmp_path / "may"), opt_out=out
    )
    return tmp_path / "june", rows


def test_who_stayed_moved_joined_left_and_opted_out_is_right_in_the_crm_files(two_runs):
    folder, rows = two_runs
    told = {
        email: [row[name] for name in ("Viewer Cluster", "Previous Cluster", "Cluster Change",
                                       "Cluster Changed On")]
        for email, row in rows.items()
    }  # fmt: skip
    assert told == {
        "Stays@acme.example": ["Engaged Explorers", "Engaged Explorers", "same", "2026-05-31"],
        "Moves@acme.example": ["Binge Watchers", "Engaged Explorers", "moved", "2026-06-28"],
        "joins@ACME.example": ["Casual Viewers", "", "joined", "2026-06-28"],
        "Leaves@acme.example": ["Left", "Engaged Explorers", "left", "2026-06-28"],
    }
    assert rows["Leaves@acme.example"]["To Call"] == "FALSE"
    other = {row["Email"]: row["Cluster Change"] for row in rows_of(folder / "crm_salesforce.csv")}
    assert other == {email: row["Cluster Change"] for email, row in rows.items()}


def test_the_lists_hold_who_is_there_and_nobody_who_opted_out(two_runs):
    folder, _ = two_runs
    listed = {
        name: [row["Email"].lower() for row in rows_of(folder / f"outreach_{name}.csv")]
        for name in RULES.names
    }
    assert listed == {
        "binge_watchers": ["moves@acme.example"],
        "engaged_explorers": ["stays@acme.example"],
        "bouncers": [],
        "skimmers": [],
        "casual_viewers": ["joins@acme.example"],
    }
    (joined,) = rows_of(folder / "outreach_casual_viewers.csv")
    assert (joined["Cookies"], joined["Last Viewed At"]) == ("2", "2026-06-01T12:10:00Z")
    (company,) = rows_of(folder / "companies.csv")
    assert (company["Domain"], company["Company"], company["People"]) == ("acme.example", "", "3")
    for path in folder.iterdir():
        content = path.read_bytes()
        if path.suffix == ".xlsx":
            content = b"".join(ZipFile(path).read(name) for name in ZipFile(path).namelist())
        assert not any(word in content.lower() for word in (b"asks@", b"goes@"))


def test_who_left_is_listed_once_and_who_comes_back_has_joined(two_runs, tmp_path):
    july = [*finished("stays", 3), *finished("leaves", 1)]
    visitors = [visitor(key, f"{key}@acme.example") for key in ("stays", "leaves")]
    rows = write(tmp_path / "july", july, visitors, previous=previous(tmp_path / "june"))
    assert {email: row["Cluster Change"] for email, row in rows.items()} == {
        "stays@acme.example": "same", "leaves@acme.example": "joined",
        "Moves@acme.example": "left", "joins@ACME.example": "left",
    }  # fmt: skip
    assert rows["stays@acme.example"]["Cluster Changed On"] == "2026-05-31"


def test_without_a_crm_file_the_clusters_of_that_runs_viewers_count(tmp_path):
    engine = tables(finished("a", 3), visitors=[visitor("a", "a@acme.example")])
    engine.connection.execute(f"COPY viewers TO '{tmp_path}/viewers.parquet'")
    rows = write(
        tmp_path / "june", finished("a", 6), [visitor("a", "a@acme.example")],
        previous=previous(tmp_path / "none", tmp_path / "viewers.parquet"),
    )  # fmt: skip
    (row,) = rows.values()
    assert (row["Previous Cluster"], row["Cluster Change"]) == ("Engaged Explorers", "moved")


def test_headers_are_those_that_imports_match():
    hubspot = crm.read_lists()["hubspot"].values()
    assert {"Email", "First name", "Last name", "Company name", "Job title",
            "Country/Region"} <= set(hubspot)  # fmt: skip
    assert "Email Domain" not in hubspot  # HubSpot's own, which no import may set
    salesforce = crm.read_lists()["salesforce"].values()
    assert {"Email", "First Name", "Last Name", "Company", "Title", "Country"} <= set(salesforce)


def test_files_are_private_and_no_cell_of_any_runs_as_a_formula(tmp_path):
    visitors = [visitor("a", "ann@acme.example", name="+Ann", org_name=HOSTILE),
                visitor("b", "@evil@acme.example", org_title="-1+1")]  # fmt: skip
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / "outreach_gone.csv").touch()
    write(folder, [*ANN, session("b", "v1", 0.1)], visitors)
    assert {path.name for path in folder.iterdir()} == {
        *(f"outreach_{name}.csv" for name in RULES.names), "outreach.xlsx", "companies.csv",
        "crm_hubspot.csv", "crm_salesforce.csv",
    }  # fmt: skip
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        if path.suffix == ".csv":
            assert path.read_bytes().startswith(b"\xef\xbb\xbf")
            cells = [cell for row in rows_of(path) for cell in row.values()]
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    names, sheets, texts = book_of(folder / "outreach.xlsx")
    assert names == list(RULES.titles.values()) and HOSTILE in texts
    for sheet in sheets:
        assert '<pane ySplit="1"' in sheet and "<autoFilter" in sheet and "<f>" not in sheet
        assert set(re.findall(r'<c r="[A-Z]+\d+"(?: s="\d+")? t="(\w+)"', sheet)) == {"s"}
        assert sheet.count("<c ") == sheet.count(' t="s"')


def test_a_long_list_is_cut_in_the_workbook_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(crm, "MOST_ROWS", 3)
    rows = pd.DataFrame({"Email": [f"p{n}@x.example" for n in range(5)], "Reason": "x" * 40_000})
    crm.write_workbook(tmp_path / "out.xlsx", {"All": rows})
    _, _, texts = book_of(tmp_path / "out.xlsx")
    assert "p2@x.example" in texts and "p3@x.example" not in texts
    assert "The first 3 of 5 people of All; all are in the CSV." in texts
    assert max(map(len, texts)) == 32_767


@given(st.lists(st.text(max_size=50), min_size=1, max_size=6))
def test_any_titles_give_sheet_names_that_excel_takes(titles):
    names = crm.name_sheets(titles)
    assert len({name.lower() for name in names}) == len(titles) == len(names)
    for name in names:
        assert 0 < len(name) <= 31 and not set(name) & set("[]:*?/\\")
        assert name[0] != "'" and name[-1] != "'" and name.lower() != "history"


def test_companies_are_listed_with_news_those_to_call_first():
    people = pd.DataFrame(
        [
            ("acme.example", "Acme Ltd", True, 80.0),
            ("acme.example", None, False, 20.0),
            ("old.example", None, False, 90.0),
            ("gmail.com", None, True, 99.0),
        ],
        columns=["domain", "company", "to_call", "score"],
    ).assign(
        cluster="Bouncers", finished=1, minutes_watched=2.0, last_viewed_at="2026-06-01T00:00:00Z"
    )
    people["free_mail"] = people["domain"] == "gmail.com"
    found = crm.list_companies(people, pd.Series({"acme.example": "new"}))
    assert found["Domain"].tolist() == ["acme.example", "old.example"]
    first = SimpleNamespace(**{name.replace(" ", "_"): found[name].iloc[0] for name in found})
    assert (first.Company, first.News, first.People, first.To_Call) == ("Acme Ltd", "new", 2, 1)
    assert first.Clusters == "Bouncers: 2"
