"""Sessions of other platforms, as they are exported there."""

from datetime import date

import pandas as pd
import pyarrow.parquet as pq
import pytest

from helpers.core.errors import DataError, ParameterError
from helpers.core.parameters import Window
from helpers.core.settings import Settings
from helpers.store import engine
from helpers.store.intake import import_sessions, read_sessions_file
from helpers.store.store import Store

COURSE = """\
course,title,email,name,received_at,percent_viewed,seconds,certificate
Data 101,"Week 1: Hello, data",Alba.Ruiz@uni.example,"Ruiz, Alba",2026-03-02T08:15:22Z,1,611,no
Data 101,"Week 1: Hello, data",bo@uni.example,Bo Lind,2026-03-02 09:00:00+01:00,0.42,257,no
Data 101,Week 2: Joins,alba.ruiz@uni.example,"Ruiz, Alba",2026-03-09,0.9999999999999999,602,yes

"""
AGENCY = """\
\ufeffVisitor_Key;Media_ID;Title;Received_At;Percent_Watched;Country;Embed_URL;Conversion_Type;Mobile
0071;5e12345678;Produktfilm;27.11.2026 09:30;12,5;DE;https://firma.example/start?utm_source=a&id=7;;yes
0071;5e12345678;Produktfilm;27.11.2026 09:30;12,5;DE;;;
0072;0012345678;"Interview: ""Wir""
mit zwei Zeilen";1.12.2026 17:05:09;100;AT;;call-to-action;no
""".replace("\n", "\r\n")


def written(tmp_path, text: str, name="views.csv"):
    path = tmp_path / name
    path.write_text(text, "utf-8", newline="")
    return path


def rows_of(path) -> list[dict]:
    return read_sessions_file(path).sort_by("received_at").to_pylist()


def test_views_of_a_course_platform_one_row_per_user_and_video(tmp_path):
    one, two, three = rows_of(written(tmp_path, COURSE))
    assert (one["email"], one["name"]) == ("bo@uni.example", "Bo Lind")
    assert (str(one["received_at"]), one["percent_viewed"]) == ("2026-03-02 08:00:00+00:00", 0.42)
    assert two["media_id"] == two["media_name"] == "Week 1: Hello, data"
    assert two["visitor_key"] == three["visitor_key"] != one["visitor_key"]  # in any case
    assert "@" not in two["visitor_key"] and two["email"] == "Alba.Ruiz@uni.example"
    assert (two["percent_viewed"], three["percent_viewed"]) == (1.0, 1.0)
    assert len({row["event_key"] for row in (one, two, three)}) == 3
    assert {one[name] for name in ("country", "page", "mobile", "org")} == {None}


def test_a_csv_with_semicolons_decimal_commas_and_days_first(tmp_path):
    one, two, three = rows_of(written(tmp_path, AGENCY))
    assert (one["visitor_key"], three["media_id"]) == ("0071", "0012345678")  # zeros stay
    assert [row["percent_viewed"] for row in (one, two, three)] == [0.125, 0.125, 1.0]
    times = [str(row["received_at"])[:16] for row in (one, three)]
    assert times == ["2026-11-27 09:30", "2026-12-01 17:05"]
    pages = {(row["page"], row["utm_source"], row["mobile"]) for row in (one, two)}
    assert pages == {("firma.example/start", "a", True), (None, None, None)}
    assert one["event_key"] != two["event_key"]  # the same row twice is two sessions
    assert three["conversion_type"] == "call-to-action" and three["mobile"] is False
    assert three["media_name"].startswith('Interview: "Wir"')


def test_a_parquet_file_with_numbers_and_percents_from_0_to_100(tmp_path):
    frame = pd.DataFrame({
        "visitor_key": [12, 7], "media_id": pd.Categorical(["intro", "intro"]),
        "percent_watched": pd.array([33.0, 0.5], "Float32"),
        "received_at": pd.to_datetime(["2026-05-01T10:00:00.000", "2026-05-02T11:30:00.250"]),
        "event_key": ["a", None], "mobile": [True, None], "score": [[1], [2]],
    })  # fmt: skip
    path = tmp_path / "day=01" / "[2026] views.parquet"
    path.parent.mkdir()
    frame.to_parquet(path)
    one, two = rows_of(path)
    assert (one["visitor_key"], one["event_key"], one["mobile"]) == ("12", "a", True)
    assert (two["visitor_key"], two["percent_viewed"], two["mobile"]) == ("7", 0.005, None)
    assert str(two["received_at"]) == "2026-05-02 11:30:00.250000+00:00"


HEAD = "visitor_key,title,received_at,percent_viewed,mobile"
GOOD = "v1,Intro,2026-05-01T10:00:00Z,0.5,true"


WATCHED = HEAD.replace("viewed", "watched")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["visitor_key,title,received_at", "v1,A,2026-05-01"],
         "line 1: column percent_viewed or percent_watched is missing"),
        ([], "column visitor_key or email is missing"),
        ([HEAD, GOOD, "v1,A,2026-05-01,75,"],
         "line 3: column percent_viewed: '75' cannot be used. Expected a number from 0 to 1;"),
        ([HEAD, GOOD, "v1,A,2026-05-01,NaN,"], "line 3: column percent_viewed: 'NaN'"),
        ([WATCHED, GOOD, GOOD],
         "line 2: column percent_watched: '0.5' cannot be used. Expected a number from 0 to 100"),
        ([WATCHED, GOOD.replace("0.5", "101")], "line 2: column percent_watched: '101'"),
        ([HEAD, GOOD, "v1,A,05/01/2026,0.5,"],
         "line 3: column received_at: '05/01/2026' cannot be used. Expected ISO 8601"),
        ([HEAD, GOOD, "v1,A,,0.5,"], "line 3: column received_at: nothing is there"),
        ([HEAD, GOOD, ',"A\nB",2026-05-01,0.5,'], "line 4: column visitor_key: nothing"),
        ([HEAD, GOOD, "v1, ,2026-05-01,0.5,"], "line 3: column title: nothing is there"),
        ([HEAD, GOOD, "v1,A,2026-05-01,0.5,maybe"], "line 3: column mobile: 'maybe'"),
        ([HEAD, GOOD, "v1,A,2026-05-01"], "line 3: there are too many or too few cells"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_by_column_and_line(tmp_path, rows, told):
    with pytest.raises(DataError) as error:
        read_sessions_file(written(tmp_path, "\n".join(rows)))
    assert "Sessions file views.csv" in str(error.value) and told in str(error.value)


def test_a_file_that_is_not_there_or_not_text_is_wrong_use(tmp_path):
    (tmp_path / "utf16.csv").write_text(HEAD, "utf-16")
    for name in ("gone.csv", "gone.parquet", "utf16.csv"):
        with pytest.raises(ParameterError, match=name):
            read_sessions_file(tmp_path / name)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="torn.parquet is damaged"):
        read_sessions_file(tmp_path / "torn.parquet")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store" / "file")
    store.open("file")
    return store


def test_a_store_holds_what_the_file_holds_and_later_stages_are_the_same(store, tmp_path):
    path = written(tmp_path, COURSE)
    found = import_sessions(store, path)
    assert (found.rows, found.erased, found.new) == (3, 0, 3)
    assert list(store.days()) == [date(2026, 3, 2), date(2026, 3, 9)]
    window = Window(start="2026-03-01", end="2026-03-31", as_of="2026-04-01")
    asked = engine.over_store(Settings(), store, window)
    asked.write_features(tmp_path / "features.parquet")
    features = pq.read_table(tmp_path / "features.parquet").to_pandas().set_index("name")
    assert features.loc["Ruiz, Alba", ["video_count", "avg_percent_watched"]].tolist() == [2, 100]
    assert features.loc["Bo Lind", "email"] == "bo@uni.example"
    assert pd.isna(features.loc["Bo Lind", "minutes_watched"])
    assert sorted(asked.query("FROM titles")["title"]) == ["Week 1: Hello, data", "Week 2: Joins"]


def test_a_first_question_may_name_sessions_and_plays_in_any_order(store, tmp_path, monkeypatch):
    import_sessions(store, written(tmp_path, COURSE))
    window = Window(start="2026-03-01", end="2026-03-31", as_of="2026-04-01")
    named = engine.parts_in  # a set: its order is another in each process
    for reverse in (False, True):
        monkeypatch.setattr(
            engine, "parts_in", lambda text, way=reverse: sorted(named(text), reverse=way)
        )
        for path in store.derived.glob("*.parquet"):
            path.unlink()
        asked = engine.over_store(Settings(), store, window)
        assert asked.query("SELECT 1 FROM plays JOIN sessions USING (visitor_key)").shape[0] > 0


def test_a_file_read_again_changes_nothing_and_a_changed_one_takes_its_place(store, tmp_path):
    path = written(tmp_path, COURSE)
    import_sessions(store, path)
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    before, state = [path.stat().st_mtime_ns for path in files], store.fingerprint()
    assert not import_sessions(store, path).new
    assert [path.stat().st_mtime_ns for path in files] == before
    written(tmp_path, "\n".join(COURSE.splitlines()[:3]))
    assert import_sessions(store, path).new and store.fingerprint() != state
    assert list(store.days()) == [date(2026, 3, 2)]
    store.forget("bo@uni.example")
    assert import_sessions(store, path).erased == 1
    assert sum(facts["rows"] for facts in store.days().values()) == 1
    with pytest.raises(DataError):
        import_sessions(store, written(tmp_path, "title\nA\n"))
    assert list(store.days()) == [date(2026, 3, 2)]
