"""One purchase: its outcome is always known, and it is never made twice."""

from __future__ import annotations

import json

import pytest
from money import strike

from helpers.core.errors import CreditError, KitError, ServiceError
from helpers.mavera import ledger, payloads, purchases
from helpers.mavera.bill import Bill, BillRow
from helpers.mavera.purchases import Account
from helpers.sandbox import faults

PAYLOAD = payloads.Persona(name="Skimmers", description="Look for one answer.")

pytest_plugins = ("money_fixtures",)


def account_of(world, **given) -> Account:
    account = Account(world.run(max_credits=1000, **given))
    account.refresh()
    account.approve(bill_of(account, 400))
    return account


def bill_of(account: Account, credits: int) -> Bill:
    return account.bill([BillRow(item="x", status="ask", credits=credits)])


def buy(account: Account):
    return account.charge(
        "persona", "Skimmers", lambda _: account.mavera.create_persona(PAYLOAD), fingerprint="f"
    )


def entries(world) -> list[ledger.Entry]:
    paths = world.outputs.glob("store/*/ledger-*.jsonl")
    return [entry for path in paths for entry in ledger.Ledger(path).entries()]


def states(world) -> list[str]:
    return [entry.state for entry in entries(world)]


@pytest.mark.parametrize("kind", ["drop_after", "500_after", "truncated", "drop_while"])
def test_what_was_made_but_not_answered_is_found_and_not_made_again(make_world, kind):
    world = make_world()
    account = account_of(world)
    strike(world, kind, path="/personas")
    entry, answer = buy(account)
    assert (entry.credits, entry.by, answer["name"]) == (300, "search", "Skimmers")
    assert len(world.sent("POST", "/personas")) == 1 and world.mavera.used == 300


class DeepAnswer:
    """Carries a purchase out, and answers with JSON that no parser reads."""

    async def __call__(self, app, scope, receive, send, transport):
        if scope["method"] == "POST" and scope["path"].endswith("/personas"):
            await faults._run(app, scope, receive)
            await faults._send(send, 200, b"[" * 200_000)
        else:
            await app(scope, receive, send)


def test_json_nested_too_deep_is_an_unknown_outcome_and_nothing_is_bought_twice(make_world):
    world = make_world()
    account = account_of(world)
    world.app.faults = DeepAnswer()
    assert buy(account)[0].by == "search"
    assert len(world.mavera.personas) == 1 and len(world.sent("POST", "/personas")) == 1


@pytest.mark.parametrize("kind", ["500_before", "drop_before", "502", "504", "html_200", "empty"])
def test_what_was_not_made_is_made_once_more(make_world, kind):
    world = make_world()
    account = account_of(world)
    strike(world, kind, path="/personas")
    assert buy(account)[0].by == "answer"
    assert states(world) == ["void", "settled"]
    assert len(world.mavera.personas) == 1 and world.mavera.used == 300


def test_twice_not_made_is_given_up_with_nothing_charged(make_world):
    world = make_world()
    account = account_of(world)
    world.app.faults.rate, world.app.faults.kinds = 1.0, ("500_before",)
    world.app.faults.only = lambda method, _: method == "POST"
    with pytest.raises(ServiceError, match="failed twice.*nothing charged") as caught:
        buy(account)
    assert caught.value.exit_status == 4
    assert states(world) == ["void", "void"] and world.mavera.used == 0
    assert len(world.sent()) == 2


def test_two_looks_five_seconds_apart_come_before_not_made(make_world, monkeypatch):
    waits = []
    world = make_world()
    monkeypatch.setattr(purchases, "pause", waits.append)
    account = account_of(world)
    strike(world, "500_before", path="/personas")
    before = len(world.log)
    buy(account)
    looks = [request["path"] for request in world.log[before:] if request["method"] == "GET"]
    assert waits == [5]
    assert looks.count("/api/v1/personas") == 2


def test_a_throttled_purchase_waits_and_is_made_once(make_world):
    world = make_world()
    account = account_of(world)
    strike(world, "429_retry_after", path="/personas")
    assert buy(account)[0].by == "answer"
    assert len(world.mavera.personas) == 1 and states(world) == ["settled"]


@pytest.mark.parametrize(("kind", "status"), [("402", 5), ("401", 3), ("403", 3), ("404", 4)])
def test_a_refused_purchase_is_void_and_not_repeated(make_world, kind, status):
    world = make_world()
    account = account_of(world)
    strike(world, kind, path="/personas")
    with pytest.raises(KitError) as caught:
        buy(account)
    assert caught.value.exit_status == status
    assert states(world) == ["void"] and len(world.sent()) == 1


def test_a_field_that_mavera_refuses_is_named_with_the_file_it_comes_from(make_world):
    world = make_world()
    account = account_of(world)
    bad = payloads.Persona(name="Skimmers", description="", pipeline_type="north_star")
    with pytest.raises(ServiceError) as caught:
        account.charge("persona", "Skimmers", lambda _: account.mavera.create_persona(bad))
    told = str(caught.value)
    assert "400 on POST /personas (Skimmers)" in told and "(param: description)" in told
    assert "would be again" in told and "`persona:` in the clusters file" in told
    assert "run again" not in told and "What was bought before is kept" in told


def test_a_run_has_spent_nothing_before_its_first_question(make_world):
    world = make_world()
    run = world.run()
    Account(run).begin()
    assert run.manifest().credits == {"ledger_from": 0, "spent": 0}


def test_a_persona_that_is_listed_and_cannot_be_read_is_described_by_its_row(make_world):
    world = make_world()
    account = account_of(world)
    entry, answer = buy(account)
    strike(world, "404", path=f"/personas/{entry.persona_id}", method="GET")
    assert account.persona(entry.persona_id)["description"] == answer["description"]


def test_an_outcome_that_cannot_be_known_stops_with_entry_and_command(make_world):
    world = make_world()
    account = account_of(world)
    strike(world, "drop_before", path="/personas")
    # A colleague spends from the same account at that moment: the balance says nothing now.
    world.app.on_request = lambda *_: world.mavera.state["credits"].update(
        used=world.mavera.used + (1 if len(world.sent()) else 0)
    )
    with pytest.raises(CreditError, match="viewer-personas settle persona-0001-") as caught:
        buy(account)
    assert caught.value.exit_status == 5 and states(world) == ["pending"]
    with pytest.raises(CreditError, match="persona-0001-"):  # and again at the next start
        account_of(world).settle_pending()
    assert len(world.sent()) == 1


def test_a_service_that_is_gone_after_the_call_leaves_the_entry_pending(make_world):
    world = make_world()
    account = account_of(world)
    strike(world, "drop_after", path="/personas")
    world.app.on_request = lambda number, path, _: (
        setattr(world.app, "faults", type(world.app.faults)(rate=1.0, kinds=("404",)))
        if world.mavera.personas else None
    )  # fmt: skip
    with pytest.raises(CreditError, match="asking failed"):
        buy(account)
    assert states(world) == ["pending"]


def test_a_pending_entry_of_a_dead_process_is_settled_before_anything_else(make_world):
    world = make_world()
    account = account_of(world)
    account.ledger.open(
        "persona", "Skimmers", price=300, run="r",
        before={"used": 0, "listed": account._listed("persona")},
    )  # fmt: skip
    account.mavera.create_persona(PAYLOAD)  # it was sent, and then the process died
    account_of(world).settle_pending()
    (settled,) = entries(world)
    assert (settled.state, settled.credits) == ("settled", 300)
    assert settled.persona_id == world.mavera.personas[0]["id"]


def test_a_dead_process_that_never_sent_it_leaves_nothing_to_pay(make_world):
    world = make_world()
    account = account_of(world)
    account.ledger.open(
        "persona", "Skimmers", price=300, run="r",
        before={"used": 0, "listed": account._listed("persona")},
    )  # fmt: skip
    account_of(world).settle_pending()
    assert states(world) == ["void"]


def test_an_answer_without_an_id_is_looked_for_in_the_list(make_world):
    world = make_world()
    account = account_of(world)

    def send(_):
        account.mavera.create_persona(PAYLOAD)
        return {"object": "custom_persona"}

    entry, _ = account.charge("persona", "Skimmers", send, fingerprint="f")
    assert entry.persona_id == world.mavera.personas[0]["id"] and len(world.sent()) == 1


@pytest.mark.parametrize("odd", [{"credits_charged": 400}, {"is_custom": False}])
def test_a_first_answer_that_is_odd_stops_all_further_purchases(make_world, odd):
    world = make_world()
    account = account_of(world)
    with pytest.raises(CreditError, match="nothing more is bought"):
        account.charge(
            "persona", "Skimmers", lambda _: account.mavera.create_persona(PAYLOAD) | odd,
            fingerprint="f",
        )  # fmt: skip
    assert states(world) == ["settled"]


def test_credits_that_the_answer_does_not_tell_are_read_from_the_balance(make_world):
    world = make_world()
    account = account_of(world)

    def send(_):
        answer = account.mavera.create_persona(PAYLOAD)
        return {key: answer[key] for key in answer if key != "credits_charged"}

    assert account.charge("persona", "Skimmers", send, fingerprint="f")[0].credits == 300


def test_nothing_is_charged_beyond_the_bill(make_world):
    world = make_world()
    account = account_of(world)
    buy(account)
    with pytest.raises(CreditError, match="may cost 300, and 100 of the bill are left"):
        buy(account)
    assert world.mavera.used == 300


def test_a_bill_over_budget_or_balance_names_both_numbers(make_world):
    world = make_world(credits=500)
    account = Account(world.run(max_credits=400))
    with pytest.raises(CreditError, match="bill is 401, and max_credits is 400"):
        account.approve(bill_of(account, 401))
    account = Account(world.run(max_credits=4000))
    with pytest.raises(CreditError, match="bill is 600, and the account has 500 left"):
        account.approve(bill_of(account, 600))


def test_a_reply_that_was_charged_and_lost_is_not_asked_for_again(make_world):
    world = make_world()
    account = account_of(world)
    made = account.mavera.create_persona(PAYLOAD)
    payload = payloads.Response(input="Why?", persona_id=made["id"])
    strike(world, "drop_after", path="/responses")
    entry, answer = account.charge(
        "reply", "Reply", lambda _: account.mavera.respond(payload), fingerprint="g"
    )
    assert (entry.state, entry.credits, answer.get("output")) == ("settled", 1, None)
    assert len(world.sent("POST", "/responses")) == 1 and account.kept("g") is None


@pytest.mark.parametrize("kind", ["drop_after", "drop_while", "500_after"])
def test_maves_answer_is_recovered_from_its_thread(make_world, kind):
    world = make_world(mave_seconds=0.04)  # 40 s, where a second is a millisecond
    account = account_of(world)
    strike(world, kind, path="/mave/chat")
    entry, answer = account.charge(
        "mave", "Mave", lambda e: account.mavera.chat(payloads.Chat(message=f"Hello {e.mark}")),
        fingerprint="q",
    )  # fmt: skip
    assert answer["content"] and entry.credits == world.mavera.used == 15
    assert len(world.sent("POST", "/mave/chat")) == 1
    assert account.kept("q")["entry"] == entry.entry


def test_an_answer_that_was_kept_settles_its_entry_without_asking(make_world):
    world = make_world()
    account = account_of(world)
    entry = account.ledger.open("mave", "Mave", fingerprint="q", price=75, before={"used": 0})
    kept = {"content": "A", "entry": entry.entry, "asked_on": "2026-07-01", "charged": 40}
    account.answers.mkdir(parents=True)
    (account.answers / "q.json").write_text(json.dumps(kept))
    before = len(world.log)
    account.settle_pending()
    assert entries(world)[0].credits == 40 and len(world.log) == before
