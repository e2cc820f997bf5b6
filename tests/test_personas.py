"""Personas: drafted from numbers, billed before they are bought, and never bought twice."""

import json
import re

import pytest
from money import NAME, sessions, strike

from helpers import analysis, cluster, personas
from helpers.core.errors import CreditError, DataError, ParameterError, ServiceError
from helpers.mavera import ledger
from helpers.run import Run

pytest_plugins = ("money_fixtures",)


def bought(world) -> list[str]:
    return [row["name"] for row in world.mavera.personas]


def billed(world, **given):
    """A run whose drafts and bill were shown, and the bill by item."""
    run = world.run(**given)
    personas.drafts(run)
    return run, personas.bill(run).set_index("item")


def counts(run) -> dict[str, int]:
    return {key: n for key, n in run.manifest().model_extra["personas"].items() if n}


def without_stage_05(run: Run) -> None:
    known = json.loads((run.folder / "run.json").read_text())
    del known["stages"]["05_mave_analysis"]
    (run.folder / "run.json").write_text(json.dumps(known))


def test_drafts_are_made_for_clusters_with_viewers_alone(make_world):
    world = make_world(filled=False)
    world.filled(sessions({"b": (12, 6, 0.9), "o": (12, 1, 0.1)}))
    table = personas.drafts(world.run())
    assert list(table.index) == ["binge_watchers", "bouncers"]
    assert list(table["name"]) == ["Binge Watchers", "Bouncers"]
    assert set(table["pipeline"]) == {"north_star"} and table["chosen"].all()


def test_the_bill_is_one_table_with_the_balance_before_and_after(make_world):
    world = make_world(credits=5000, auto_recharge=True)
    run, table = billed(world, max_credits=2000, ask_personas=True, ask_edits=True)
    assert table.at["Skimmers", "status"] == "buy" and table.at["Skimmers", "credits"] == 300
    assert table.at["Mave's analysis", "credits"] == table.at["Mave's edits", "credits"] == 75
    assert table.at["Reply of Skimmers", "credits"] == 5
    assert table.at["total, at most", "credits"] == 1675
    assert table.at["balance before", "credits"] == 5000
    assert table.at["balance after, at least", "credits"] == 3325
    assert table.index[-1].startswith("note: auto-recharge is on") and world.sent() == []
    without_stage_05(run)
    assert "Mave's analysis" not in set(personas.bill(run)["item"])


def test_max_credits_0_shows_everything_and_buys_nothing(make_world):
    world = make_world()
    run = world.spend(0)
    assert world.sent() == [] and world.mavera.used == 0
    assert len(personas.payloads(run)) == 5 and counts(run) == {"draft": 5}
    known = json.loads((run.folder / "data/personas.json").read_text())
    assert known["schema_version"] == 2
    assert sum(row["credits"] for row in known["bill"]["rows"]) == 1575
    assert analysis.read(run).status == "not_asked"


def test_500_credits_buy_one_persona_and_the_question_and_next_month_the_second(make_world):
    world = make_world(credits=500)
    with pytest.raises(CreditError) as caught:
        world.spend(500)
    said = str(caught.value)
    assert "binge_watchers" in said and "375 in all" in said and "order" in said
    assert "engaged_explorers" not in said and world.sent() == []
    run = world.spend(500, persona_clusters=["binge_watchers"])
    assert bought(world) == ["Binge Watchers"] and 300 < world.mavera.used <= 375
    assert analysis.read(run).status == "answered"
    question = json.loads(world.sent("POST", "/mave/chat")[0]["body"])["message"]
    assert "some clusters have a persona" in question and '"title": "Skimmers"' in question
    world.mavera.state["credits"].update(used=0)  # a month later
    second = world.spend(500, name="2026-08-01", persona_clusters=["engaged_explorers"])
    assert bought(world) == ["Binge Watchers", "Engaged Explorers"] and world.mavera.used <= 375
    assert counts(second) == {"draft": 3, "bought": 1, "reused": 1}  # owned ones are used anyway
    assert analysis.read(second).status == "answered"


def test_a_budget_for_two_personas_names_two_in_the_order_of_the_rules(make_world):
    world = make_world()
    with pytest.raises(CreditError) as caught:
        world.spend(700, ask_personas=True)
    assert '["binge_watchers", "engaged_explorers"]' in str(caught.value)
    assert "685 in all" in str(caught.value) and world.mavera.used == 0


def test_a_cluster_under_min_cell_gets_a_persona_only_when_it_is_named(make_world):
    world = make_world()
    _, table = billed(world, min_cell=21)
    assert table.at["Skimmers", "status"] == "too few viewers"  # 20 of them
    assert table.at["total, at most", "credits"] == 1275
    _, table = billed(world, min_cell=21, persona_clusters=["skimmers"])
    assert list(table["status"][:4]) == ["not chosen"] * 3 + ["buy"]
    assert table.at["total, at most", "credits"] == 375
    with pytest.raises(ParameterError, match="skimers.*skimmers") as caught:
        personas.drafts(world.run(persona_clusters=["skimers"]))
    assert caught.value.exit_status == 2


def test_what_is_shown_is_sent_and_a_second_run_or_machine_reuses_it_and_buys_nothing(make_world):
    world = make_world(credits=5000)
    first, _ = billed(world, max_credits=1575)
    shown = personas.payloads(first)
    assert set(shown["request"]) == {"POST /personas"}
    world.spend(1575)
    sent = [json.loads(row["body"]) for row in world.sent("POST", "/personas")]
    assert sent == [json.loads(text) for text in shown["payload"]]
    used, credits = world.mavera.used, first.manifest().credits
    assert counts(first) == {"bought": 5} and credits["spent"] == used
    assert credits["before"] == 5000 and credits["after"] == 5000 - used
    assert credits["by_item"]["Binge Watchers"] == 300 and sum(credits["by_item"].values()) == used
    rows = personas.read(first).personas
    assert all(row.credits == 300 and row.persona_id and row.description for row in rows)
    second = world.spend(2000, name="2026-07-01.2")
    assert counts(second) == {"reused": 5} and analysis.read(second).reused is True
    assert (second.manifest().credits["spent"], second.manifest().credits["bill"]) == (0, 0)
    for path in world.outputs.glob("store/*/ledger-*"):
        path.unlink()
    elsewhere, _ = billed(world, max_credits=2000, name="2026-07-01.3")
    assert list(personas.buy(elsewhere)["status"]) == ["reused"] * 5
    assert world.mavera.used == used and len(bought(world)) == 5


def test_personas_are_found_among_a_thousand_and_a_base_persona_is_not_ours(make_world):
    world = make_world()
    world.mavera.add_personas([f"Other {n}" for n in range(998)] + ["Skimmers", "bouncers"])
    without_stage_05(world.run())
    run = Run.open("04_personas", NAME, max_credits=1200)
    personas.drafts(run)
    table = personas.bill(run).set_index("item")
    assert table.at["Skimmers", "status"] == "reuse" and table.at["Bouncers", "status"] == "buy"
    assert table.at["Binge Watchers", "status"] == "buy"  # Mavera's own one has the name
    personas.buy(run)
    assert world.mavera.used == 1200


RULES = """
name_prefix: "{prefix}"
clusters:
  - {{name: fans, title: "{title}", when: "video_count >= {least}", description: Watch a lot.}}
  - {{name: others, title: Others, description: Everybody else.}}
"""


def ruled(world, name: str, text: str) -> None:
    """A run folder whose stage 03 is done with other rules."""
    path = world.outputs.parent / f"{name}.yml"
    path.write_text(text)
    (world.outputs / name / "data").mkdir(parents=True, exist_ok=True)
    for known in (world.outputs / NAME / "data").glob("*.parquet"):
        (world.outputs / name / "data" / known.name).write_bytes(known.read_bytes())
    cluster.assign(Run.open("03_cluster", name, clusters_file=str(path)))


def with_rules(world, name, title="Fans", least=3, prefix=""):
    ruled(world, name, RULES.format(title=title, least=least, prefix=prefix))
    return world.spend(2000, name=name)


def test_a_changed_threshold_updates_what_changed_and_buys_nothing(make_world):
    world = make_world()
    with_rules(world, "2026-07-02")
    used = world.mavera.used
    same = with_rules(world, "2026-07-02.2")
    assert world.mavera.used == used and world.sent("PATCH") == []
    changed = with_rules(world, "2026-07-02.3", least=4)  # 25 of the 55 fans are others now
    assert len(world.mavera.personas) == 2 and counts(changed) == {"updated": 2}
    there = {persona["id"]: persona["description"] for persona in world.mavera.personas}
    assert {row.persona_id: row.description for row in personas.read(changed).personas} == there
    assert changed.manifest().credits["spent"] == world.mavera.used - used <= 75
    assert same.manifest().credits["spent"] == 0
    sent = json.loads(world.sent("PATCH")[0]["body"])
    assert set(sent) == {"pipeline_type", "type", "name", "description"}
    with_rules(world, "2026-07-02.4", least=4)
    assert len(world.sent("PATCH")) == 2  # once is enough


def test_a_changed_title_or_prefix_renames_the_persona_instead_of_buying_another(make_world):
    world = make_world()
    with_rules(world, "2026-07-02")
    with_rules(world, "2026-07-02.2", title="Great Fans")
    assert sorted(bought(world)) == ["Great Fans", "Others"]
    with_rules(world, "2026-07-02.3", prefix="EMEA")
    assert sorted(bought(world)) == ["EMEA Fans", "EMEA Others"]


def test_drafts_of_another_min_cell_are_not_gone_on_with(make_world):
    world = make_world()
    personas.drafts(world.run(min_cell=10))
    with pytest.raises(DataError, match="04_personas"):
        analysis.question(world.run("05_mave_analysis", min_cell=20))


def test_credits_used_up_in_the_middle_keep_what_was_bought(make_world):
    world = make_world()
    run, _ = billed(world, max_credits=2000)
    strike(world, "402", path="/personas", number=3)
    with pytest.raises(CreditError, match="billing.*kept"):
        personas.buy(run)
    assert len(bought(world)) == 2 and run.manifest().credits["spent"] == 600
    run = world.spend(2000)  # the same run goes on
    assert len(bought(world)) == 5
    assert run.manifest().credits["spent"] == world.mavera.used <= 1575


def test_a_resumed_run_counts_what_was_spent_before_it_failed(make_world):
    world = make_world()
    run, _ = billed(world, max_credits=1575)
    strike(world, "404", path="/personas", number=4)
    with pytest.raises(ServiceError):
        personas.buy(run)
    with pytest.raises(CreditError, match="bill is 675 on top of 900 spent in this run.*1574"):
        world.spend(1574)
    assert len(bought(world)) == 3
    assert counts(world.spend(1575)) == {"bought": 5}


def test_an_entry_settled_by_hand_as_made_is_not_bought_again(make_world):
    world = make_world()
    run, _ = billed(world, max_credits=2000)
    (path,) = [ledger.path_for(run.store.folder, run.source.identity("mavera", run.settings))]
    before = {"used": 0, "listed": "x"}
    entry = ledger.Ledger(path).open("persona", "Skimmers", price=300, before=before)
    with pytest.raises(CreditError, match=entry.entry):
        personas.buy(run)
    ledger.settle_by_hand(world.outputs, entry.entry, True)
    again = f"settle {entry.entry} not-made --outputs {world.outputs}`"
    with pytest.raises(CreditError, match=re.escape(again)):
        personas.buy(run)
    ledger.settle_by_hand(world.outputs, entry.entry, False)
    assert list(personas.buy(run)["status"]) == ["bought"] * 5


def test_a_window_without_viewers_has_no_drafts_no_bill_and_no_cards(make_world):
    world = make_world(filled=False)
    world.filled([])
    run = world.spend(2000)
    assert world.sent() == [] and run.manifest().credits["spent"] == 0
    assert "No viewers" in repr(personas.cards(run)) and personas.payloads(run).empty
    assert analysis.read(run).reason == "There are no viewers in the window."
    assert "no viewers" in repr(analysis.answer(run))


def test_cards_say_truly_who_wrote_them_and_escape_it(make_world, monkeypatch):
    world = make_world()
    drafted = repr(personas.cards(world.spend(0)))
    assert drafted.startswith("Drafts: the kit wrote them from the numbers, and no AI did.")
    world.mavera.answers = None
    run = world.spend(2000, name="2026-07-01.2")
    written = "Drafted from the numbers, written out by Mavera with AI."
    assert repr(personas.cards(run)).startswith(written)
    path = run.folder / "data/personas.json"
    known = json.loads(path.read_text())
    known["personas"][0] |= {"description": "<script>alert(1)</script>", "traits": {"<b>": "<i>"}}
    path.write_text(json.dumps(known))
    html = personas.cards(run)._repr_html_()
    assert "<script" not in html and "<b>" not in html and "&lt;script&gt;" in html
    assert known["personas"][0]["persona_id"] not in html
    world.mavera.personas.pop()
    some = repr(personas.cards(world.spend(0, name="2026-07-01.3"))).splitlines()[0]
    assert some.startswith("Those marked draft") and some.endswith("by Mavera with AI.")


def test_the_sandbox_charges_play_credits_and_has_a_ledger_of_its_own(make_world, monkeypatch):
    world = make_world()
    for name in ("MAVERA_API_KEY", "MAVERA_BASE_URL"):
        monkeypatch.delenv(name)
    run = world.spend(0)
    assert run.source.mavera == "sandbox" and len(bought(world)) == 5
    assert "by rule: no AI wrote them" in repr(personas.cards(run))
    (path,) = world.outputs.glob("store/*/ledger-*.jsonl")
    world.live()
    live = world.spend(0, name="2026-07-01.2")
    assert ledger.path_for(live.store.folder, live.source.identity("mavera", live.settings)) != path
