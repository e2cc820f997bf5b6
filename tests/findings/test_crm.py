"""Private files: each person right in every file, and nothing in them that runs."""

import csv
import re
import stat
from datetime import date
from xml.sax.saxutils import unescape
from zipfile import ZipFile

import pandas as pd
import pytest
from hypothesis import given, strategies as st
from test_scoring import ANN, MEDIAS, RULES
from viewing import finished, session, tables, visitor, window

from helpers.core import files
from helpers.findings import crm, scoring
from helpers.findings.change import Previous, read_people_then

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


def write(folder, sessions, visitors, *, before=None, period=None, opt_out=frozenset()):
    """Write the files beside those of a run before: (its folder, its viewers' file or None)."""
    engine = tables(sessions, visitors=visitors, medias=MEDIAS)
    period = period or window()
    people = scoring.read_people(engine, RULES, period, opt_out=opt_out)
    previous = None
    if before:
        crm_file = before[0] / "crm_hubspot.csv"
        previous = Previous("2026-06-01", MAY, RULES, before[1], crm_file, {})
    then = read_people_then(engine, previous)
    folder.mkdir(exist_ok=True)
    crm.write_files(folder, people, RULES, period, people_then=then, opt_out=opt_out)
    return {row["Email"]: row for row in rows_of(folder / "crm_hubspot.csv")}


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
    before = tmp_path / "may", None
    return tmp_path / "june", write(tmp_path / "june", june, visitors, before=before, opt_out=out)


def test_who_stayed_moved_joined_left_and_opted_out_is_right_in_the_crm_files(two_runs):
    folder, rows = two_runs
    columns = ("Viewer Cluster", "Previous Cluster", "Cluster Change", "Cluster Changed On")
    told = {email: [row[name] for name in columns] for email, row in rows.items()}
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
    lists = {name: rows_of(folder / f"outreach_{name}.csv") for name in RULES.names}
    listed = {name: [row["Email"].lower() for row in rows] for name, rows in lists.items() if rows}
    assert listed == {
        "binge_watchers": ["moves@acme.example"],
        "engaged_explorers": ["stays@acme.example"],
        "casual_viewers": ["joins@acme.example"],
    }
    (joined,) = lists["casual_viewers"]
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
    rows = write(tmp_path / "july", july, visitors, before=(tmp_path / "june", None))
    assert {email.partition("@")[0]: row["Cluster Change"] for email, row in rows.items()} == {
        "stays": "same",
        "leaves": "joined",
        "Moves": "left",
        "joins": "left",
    }
    assert rows["stays@acme.example"]["Cluster Changed On"] == "2026-05-31"


def test_without_a_crm_file_the_clusters_of_that_runs_viewers_count(tmp_path):
    viewers, people = tmp_path / "viewers.parquet", [visitor("a")]
    engine = tables(finished("a", 3), visitors=people)
    engine.connection.execute(f"COPY viewers TO '{viewers}'")
    before = tmp_path / "none", viewers
    (row,) = write(tmp_path / "june", finished("a", 6), people, before=before).values()
    assert (row["Previous Cluster"], row["Cluster Change"]) == ("Engaged Explorers", "moved")


def test_headers_are_those_that_imports_match():
    lists = files.read_package_yaml("findings/lists.yml")
    hubspot, salesforce = ({*lists[name].values()} for name in ("hubspot", "salesforce"))
    assert {"Email", "First name", "Last name", "Company name", "Job title"} <= hubspot
    assert "Country/Region" in hubspot
    assert "Email Domain" not in hubspot  # HubSpot's own, which no import may set
    assert {"Email", "First Name", "Last Name", "Company", "Title", "Country"} <= salesforce


def test_files_are_private_and_no_cell_of_any_runs_as_a_formula(tmp_path):
    visitors = [visitor("a", "ann@acme.example", name="+Ann", org_name=HOSTILE)]
    visitors += [visitor("b", "@evil@acme.example", org_title="-1+1")]
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    (folder / "outreach_gone.csv").touch()
    write(folder, [*ANN, session("b", "v1", 0.1)], visitors)
    others = {"outreach.xlsx", "companies.csv", "crm_hubspot.csv", "crm_salesforce.csv"}
    lists = {f"outreach_{name}.csv" for name in RULES.names}
    assert {path.name for path in folder.iterdir()} == lists | others
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
        assert sheet.count("<c ") == sheet.count(' t="s"')  # every cell is a text


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
            ("acme.example", "Acme Ltd", True, 80.0, False),
            ("acme.example", None, False, 20.0, False),
            ("old.example", None, False, 90.0, False),
            ("gmail.com", None, True, 99.0, True),
        ],
        columns=["domain", "company", "to_call", "score", "free_mail"],
    )
    people[["cluster", "finished", "minutes_watched"]] = "Bouncers", 1, 2.0
    people["last_viewed_at"] = "2026-06-01T00:00:00Z"
    found = crm.list_companies(people, pd.Series({"acme.example": "new"}))
    columns = ["Domain", "Company", "News", "People", "To Call", "Clusters"]
    assert found[columns].iloc[0].tolist() == [
        "acme.example",
        "Acme Ltd",
        "new",
        2,
        1,
        "Bouncers: 2",
    ]
    assert found["Domain"].tolist()[1:] == ["old.example"]
