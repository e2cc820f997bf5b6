"""Two accounts by one command: nothing is mixed; planted text is text wherever it is shown."""

import contextlib
import csv
import json
import re
import unicodedata
import zipfile
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from commands import ROOT, give, manifest

from helpers.batch import summary
from helpers.core.folders import read_manifest
from helpers.sandbox.server import create_app, start_in_thread

NAMES = ("north", "south")
MARK = "<script>alert(1)</script><img src=x onerror=alert(2)>[x](javascript:alert(3))"
SIGNS = ("=1+1", "＋1", "\u200b@SUM(A1)", "\x1b[31m-1", "Ann;=1", "\u202e|=1")
FORMULA = re.compile(r"\s*[=+@＝＋＠﹦﹢－﹣-]")


def planted(number: int) -> str:
    return f"{SIGNS[number % len(SIGNS)]} {number} {MARK}\u202e\u2066\x07"


def write_rows(folder: Path) -> None:
    """Forty viewers of six videos, in whose rows every free text is planted."""
    folder.mkdir()
    medias = [
        {"hashed_id": f"m{n}", "name": planted(n), "duration": 90.0, "description": planted(n)}
        | {"project": {"name": planted(n)}}
        for n in range(6)
    ]
    visitors, events = [], []
    for n in range(40):
        key, person = f"v{n}<b>", planted(n)
        identity = {"name": person, "email": f"ann{n}@evil.example"}
        identity["org"] = {"name": person, "title": person}
        visitors.append({"visitor_key": key, "visitor_identity": identity})
        visitors[-1]["last_active_at"] = "2026-06-20T10:00:00.000Z"
        events += [
            {
                "event_key": f"e{n}-{media}", "visitor_key": key, "media_id": f"m{media}",
                "received_at": f"2026-06-{10 + n % 20}T1{media}:00:00.000Z",
                "percent_viewed": 0.9, "media_name": planted(media),
                "email": f"ann{n}@evil.example",
                **dict.fromkeys(("country", "region", "city", "org", "conversion_type"), person),
                "embed_url": f"https://evil.example/{MARK}?utm_source={MARK}&utm_campaign==1",
                "user_agent_details": {"browser": person, "platform": person, "mobile": True},
            }
            for media in range(1 + n % 6)
        ]  # fmt: skip
    for name, rows in (("medias", medias), ("visitors", visitors), ("events", events)):
        (folder / f"{name}.json").write_text(json.dumps(rows), "utf-8")


def write_accounts(folder: Path) -> None:
    """North has planted text and a clusters file of the docs."""
    page = (ROOT / "docs" / "clusters.md").read_text("utf-8")
    (clusters,) = re.findall(r"```yaml\n(clusters:[^`]*finishers[^`]*)```", page)
    (folder / "mine.yml").write_text(clusters, "utf-8")
    shown = f"show_identities: true\nmin_cell: 1\nclusters_file: {folder / 'mine.yml'}\n"
    (folder / "north.yml").write_text(shown)
    (folder / "accounts.yml").write_text(
        "accounts:\n  north: {env_file: north.env, parameters: north.yml, max_credits: 1600}\n"
        "  south: {env_file: south.env}\n"
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What run-all said, the outputs folder, and the requests that came for each account."""
    folder, logs = tmp_path_factory.mktemp("accounts"), {name: [] for name in NAMES}
    write_rows(folder / "rows")
    write_accounts(folder)
    with contextlib.ExitStack() as stack:
        for name, log in logs.items():  # both services of each account, on this machine
            rows = {"data": folder / "rows"} if name == "north" else {"viewers": 60}
            url, stop = start_in_thread(create_app(**rows, log=log, per_minute=10**6))
            stack.callback(stop)
            token = "wrong" if name == "south" else f"{name}-token-1"
            (folder / f"{name}.env").write_text(
                f"WISTIA_API_TOKEN={token}\nWISTIA_BASE_URL={url}\n"
                f"MAVERA_API_KEY={name}-key-1\nMAVERA_BASE_URL={url}/api/v1\n"
            )
        words = ["run-all", "accounts.yml", "--outputs", "outputs", "--run-date", "2026-07-01"]
        inherited = {"WISTIA_API_TOKEN": "inherited-1", "VIEWER_PERSONAS_ACCOUNT": "x"}
        inherited |= {"PYTHONPATH": str(ROOT), "MAVERA_API_KEY": "other-2"}
        done = give(*words, cwd=folder, **inherited)
    assert done.returncode == 3, done.stdout + done.stderr
    return done, folder / "outputs", logs


def test_each_account_has_its_outcome_and_its_services_saw_its_own_keys_alone(ran):
    done, outputs, logs = ran
    runs = {name: read_manifest(outputs / name / "2026-07-01") for name in NAMES}
    spent = runs["north"].credits["spent"]
    assert runs["north"].counts["viewers"] == 40 and spent > 900
    assert [re.split(r"  +", line) for line in done.stdout.splitlines()[1:]] == [
        ["north", "done", "40", f"{spent:,}", "outputs/north/2026-07-01/report.html"],
        ["south", "keys or permissions (3)", "-", "-", "-"],
        ["Index: outputs/index.html"],
    ]
    said = r"^south: keys or permissions \(3\), \d+ s\n  .*401.*token refused"
    assert re.search(said, done.stderr, re.M)
    for name, log in logs.items():
        own = {f"{name}-token-1", f"{name}-key-1"} if name != "south" else {"wrong", "south-key-1"}
        assert {request["token"].removeprefix("Bearer ") for request in log} <= own and log
        assert runs[name].account == name
        assert [path.name for path in (outputs / name / "store").iterdir()] == [name]
        text = json.dumps(manifest(outputs / name / "2026-07-01"))
        assert not [other for other in NAMES if other != name and other in text]


def test_the_index_of_all_accounts_links_their_reports(ran):
    _, outputs, _ = ran
    page = BeautifulSoup((outputs / "index.html").read_text("utf-8"), "html.parser")
    heads = [" ".join(h2.text.split()) for h2 in page.find_all("h2")]
    assert heads == [f"Account: {name}" for name in NAMES]
    links = [a["href"] for a in page.main.find_all("a")]
    assert "north/2026-07-01/report.html" in links
    assert all((outputs / link).is_file() for link in links)
    assert "token refused" in page.main.text and "--resume" not in page.main.text


def unseen(text: str) -> set[str]:
    """Signs in a text that nobody sees and that change what is seen."""
    return {s for s in text if unicodedata.category(s) in ("Cc", "Cf") and s not in "\n\t\ufeff"}


@pytest.fixture(scope="module")
def shown(ran) -> dict[str, str]:
    """Everything that north's run shows, by file; cells of notebooks as JupyterLab shows them."""
    done, outputs, _ = ran
    folder = outputs / "north" / "2026-07-01"
    texts = {kind: "\n".join(summary.tell(kind, folder)) for kind in ("summary", "message")}
    texts["terminal"] = done.stdout + done.stderr
    texts["runs"] = give("runs", "--outputs", str(folder.parent)).stdout
    for path in [outputs / "index.html", *folder.rglob("*.*")]:
        if path.suffix in (".html", ".csv", ".log", ".yml"):
            texts[path.name] = path.read_text("utf-8")
        elif path.suffix in (".json", ".ipynb"):
            texts[path.name] = json.dumps(json.loads(path.read_text("utf-8")), ensure_ascii=False)
        elif path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                texts[path.name] = "".join(book.read(n).decode() for n in book.namelist())
    for path in folder.glob("*.ipynb"):
        for number, cell in enumerate(json.loads(texts[path.name])["cells"]):
            kinds = [output.get("data", {}) for output in cell.get("outputs", [])]
            assert not any("text/markdown" in kind for kind in kinds), path.name
            html = ["".join(kind.get("text/html", [])) for kind in kinds]
            texts[f"{path.name} {number}.html"] = "".join(html)
    return texts


def test_a_clusters_file_of_the_docs_and_names_that_were_asked_for_stand_in_the_report(shown):
    for words in ("@evil.example", "Finishers", "Everybody Else"):
        assert words in shown["report.html"]
    assert "evil" not in shown["message"]


def test_nothing_that_others_wrote_is_unseen_or_runs_as_script(shown):
    assert {name: signs for name, text in shown.items() if (signs := unseen(text))} == {}
    for name in (name for name in shown if name.endswith(".html")):
        page = BeautifulSoup(shown[name], "html.parser")
        images = [image for image in page("img") if not image["src"].startswith("data:image/")]
        assert not images + page(["script", "iframe", "object", "form"]), name
        for element in page(True):
            assert not [word for word in element.attrs if word.startswith("on")], name
            assert not element.get("href", "").startswith("javascript"), name


def test_nothing_that_others_wrote_is_a_formula(ran, shown):
    for path in ran[1].rglob("*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                is_number = re.fullmatch(r"-?[\d.e+-]+", cell)
                assert is_number or not FORMULA.match(cell), (path.name, cell)
    book = shown["outreach.xlsx"]
    assert "evil.example" in book and "<f>" not in book and "<hyperlink" not in book
