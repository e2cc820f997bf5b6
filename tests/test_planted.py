"""Text planted in every field that others write, through a run to each place that shows it."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
import zipfile

from bs4 import BeautifulSoup
from test_whole_run import give, sandbox

from helpers.batch import summary

MARK = "<script>alert(1)</script><img src=x onerror=alert(2)>[x](javascript:alert(3))"
SIGNS = ("=1+1", "＋1", "\u200b@SUM(A1)", "\x1b[31m-1", "Ann;=1", "\u202e|=1")
FORMULA = re.compile(r"\s*[=+@＝＋＠﹦﹢－﹣-]")


def planted(number: int) -> str:
    return f"{SIGNS[number % len(SIGNS)]} {number} {MARK}\u202e\u2066\x07"


def write_account(folder) -> None:
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


def unseen(text: str) -> set[str]:
    """Signs in a text that nobody sees and that change what is seen."""
    return {s for s in text if unicodedata.category(s) in ("Cc", "Cf") and s not in "\n\t\ufeff"}


def test_what_others_write_is_text_wherever_it_is_shown(tmp_path):
    write_account(tmp_path / "account")
    outputs = tmp_path / "outputs"
    with sandbox("--data", str(tmp_path / "account")) as url:
        done = give(
            "run", "--outputs", str(outputs), "--run-date", "2026-07-01",
            "-p", "show_identities", "true", "-p", "min_cell", "1",
            WISTIA_BASE_URL=url, WISTIA_API_TOKEN="any-token",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    folder = outputs / "2026-07-01"
    assert "@evil.example" in (folder / "report.html").read_text("utf-8")
    shown = {
        "terminal": done.stdout + done.stderr,
        "message": "\n".join(summary.tell("message", folder)),
    }
    assert "evil" not in shown["message"]
    shown["runs"] = give("runs", "--outputs", str(outputs)).stdout
    for path in [outputs / "index.html", *folder.rglob("*.*")]:
        if path.suffix in (".html", ".csv", ".log", ".yml"):
            shown[path.name] = path.read_text("utf-8")
        elif path.suffix in (".json", ".ipynb"):
            shown[path.name] = json.dumps(json.loads(path.read_text("utf-8")), ensure_ascii=False)
        elif path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                shown[path.name] = "".join(book.read(n).decode() for n in book.namelist())
    assert {name: signs for name, text in shown.items() if (signs := unseen(text))} == {}

    for path in folder.glob("*.ipynb"):  # what JupyterLab shows as it is
        for number, cell in enumerate(json.loads(shown[path.name])["cells"]):
            kinds = [output.get("data", {}) for output in cell.get("outputs", [])]
            shown[f"{path.name} {number}.html"] = "".join(
                "".join(kind.get("text/html", [])) for kind in kinds
            )
            assert not any("text/markdown" in kind for kind in kinds), path.name
    for name in (name for name in shown if name.endswith(".html")):
        page = BeautifulSoup(shown[name], "html.parser")
        images = [image for image in page("img") if not image["src"].startswith("data:image/")]
        assert not images + page(["script", "iframe", "object", "form"]), name
        for element in page(True):
            assert not [word for word in element.attrs if word.startswith("on")], name
            assert not element.get("href", "").startswith("javascript"), name

    for path in folder.rglob("*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                is_number = re.fullmatch(r"-?[\d.e+-]+", cell)
                assert is_number or not FORMULA.match(cell), (path.name, cell)
    book = shown["outreach.xlsx"]
    assert "evil.example" in book and "<f>" not in book and "<hyperlink" not in book
