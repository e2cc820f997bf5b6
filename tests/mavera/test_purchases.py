"""One purchase: its outcome is always known, and it is never made twice."""

import pytest
from money import strike

from helpers.core.errors import CreditError, KitError, ServiceError
from helpers.mavera import payloads, purchases
from helpers.mavera.bill import Bill, BillRow, Purchase
from helpers.mavera.purchases import Account
from helpers.sandbox import faults

SKIMMERS = payloads.Persona(name="Skimmers", description="Look for one answer.")
PERSONA = Purchase("persona", "Skimmers", SKIMMERS)
QUESTION = Purchase("mave", "Mave", payloads.Chat(message="Hello"))

pytest_plugins = ("money_fixtures",)


def account_of(world) -> Account:
    account = Account(world.run(max_credits=1000))
    account.refresh()
    account.approve(bill_of(account, 400))
    return account


def bill_of(account: Account, credits: int) -> Bill:
    return account.bill([BillRow(item="x", status="ask", credits=credits)])


@pytest.fixture
def world(make_world):
    return make_world()


@pytest.fixture
def account(world) -> Account:
    return account_of(world)


def make(account: Account) -> dict:
    return account.mavera.buy("/personas", PERSONA.payload, "Skimmers")


def answering(monkeypatch, account: Account, change) -> None:
    """Let the service's answers to purchases be changed on their way."""
    buy = account.mavera.buy
    monkeypatch.setattr(account.mavera, "buy", lambda *asked: change(buy(*asked)))


def states(account) -> list[str]:
    return [entry.state for entry in account.ledger.entries()]


@pytest.mark.parametrize("kind", ["drop_after", "500_after", "truncated", "drop_while"])
def test_what_was_made_but_not_answered_is_found_and_not_made_again(world, account, kind):
    strike(world, kind, path="/personas")
    entry = account.charge(PERSONA)
    made = world.mavera.personas[0]["id"]
    assert (entry.credits, entry.by, entry.persona_id) == (300, "search", made)
    assert len(world.sent("POST", "/personas")) == 1 and world.mavera.used == 300


@pytest.mark.parametrize("kind", ["500_before", "drop_before", "502", "504", "html_200", "empty"])
def test_what_was_not_made_is_made_once_more(world, account, kind):
    strike(world, kind, path="/personas")
    assert account.charge(PERSONA).by == "answer" and states(account) == ["void", "settled"]
    assert len(world.mavera.personas) == 1 and world.mavera.used == 300


def test_twice_not_made_is_given_up_with_nothing_charged(world, account):
    world.app.faults.rate, world.app.faults.kinds = 1.0, ("500_before",)
    world.app.faults.only = lambda method, _: method == "POST"
    with pytest.raises(ServiceError, match="failed twice.*nothing charged") as caught:
        account.charge(PERSONA)
    assert caught.value.exit_status == 4 and len(world.sent()) == 2
    assert states(account) == ["void", "void"] and world.mavera.used == 0


@pytest.mark.parametrize(("kind", "pauses"), [("500_before", [5]), ("drop_before", [5, 5, 5])])
def test_two_looks_five_seconds_apart_and_15_seconds_after_a_drop_come_before_not_made(
    world, account, monkeypatch, kind, pauses
):
    waits = []
    monkeypatch.setattr(purchases, "pause", waits.append)
    strike(world, kind, path="/personas")
    before = len(world.sent("GET", "/personas"))
    account.charge(PERSONA)
    assert waits == pauses and len(world.sent("GET", "/personas")) == before + len(pauses) + 1


def test_a_throttled_purchase_waits(world, account):
    strike(world, "429_retry_after", path="/personas")
    assert account.charge(PERSONA).by == "answer" and states(account) == ["settled"]
    assert len(world.mavera.personas) == 1


@pytest.mark.parametrize(("kind", "status"), [("402", 5), ("401", 3), ("403", 3), ("404", 4)])
def test_a_refused_purchase_is_void(world, account, kind, status):
    strike(world, kind, path="/personas")
    with pytest.raises(KitError) as caught:
        account.charge(PERSONA)
    assert caught.value.exit_status == status
    assert states(account) == ["void"] and len(world.sent()) == 1


def test_a_field_that_mavera_refuses_is_named_with_the_file_it_comes_from(account):
    bad = payloads.Persona(name="Skimmers", description="", pipeline_type="north_star")
    with pytest.raises(ServiceError) as caught:
        account.charge(Purchase("persona", "Skimmers", bad))
    for told in ("400 on POST /personas (Skimmers)", "(param: description)", "would be again"):
        assert told in str(caught.value)
    assert "`persona:` in the clusters file" in caught.value.remedy
    assert "What was bought before is kept" in caught.value.remedy


def test_an_outcome_that_cannot_be_known_stops_with_entry_and_command(world, account):
    strike(world, "drop_before", path="/personas")
    # A colleague spends from the same account at that moment: the balance says nothing now.
    usage = world.mavera.state["credits"]
    world.app.on_request = lambda *_: usage.update(used=usage["used"] + bool(world.sent()))
    with pytest.raises(CreditError, match="viewer-personas settle persona-0001-") as caught:
        account.charge(PERSONA)
    assert caught.value.exit_status == 5 and states(account) == ["pending"]
    with pytest.raises(CreditError, match="persona-0001-"):  # and again at the next start
        account_of(world).settle_pending()
    assert len(world.sent()) == 1


@pytest.mark.parametrize("kind", ["404", "401"])
def test_a_service_or_key_that_is_gone_after_the_call_leaves_it_pending(world, account, kind):
    strike(world, "drop_after", path="/personas")

    def goes(*_):
        if world.mavera.personas:
            world.app.faults = faults.Faults(rate=1.0, kinds=(kind,))

    world.app.on_request = goes
    with pytest.raises(CreditError, match=f"asking failed .*{kind}.*settle persona-0001-"):
        account.charge(PERSONA)
    assert states(account) == ["pending"]


@pytest.mark.parametrize(("sent", "state", "credits"), [(True, "settled", 300), (False, "void", 0)])
def test_a_pending_entry_of_a_dead_process_is_settled_before_anything_else(
    world, account, sent, state, credits
):
    before = {"used": 0, "listed": account._listed()}
    account.ledger.open("persona", "Skimmers", price=300, before=before)
    if sent:  # and then the process died
        make(account)
    later = account_of(world)
    later.settle_pending()
    (settled,) = later.ledger.entries()
    assert (settled.state, settled.credits, bool(settled.persona_id)) == (state, credits, sent)


def test_what_an_answer_does_not_tell_is_read_from_the_list(world, account, monkeypatch):
    answering(monkeypatch, account, lambda _: {"object": "custom_persona"})  # no id, no credits
    entry = account.charge(PERSONA)
    assert (entry.persona_id, entry.credits) == (world.mavera.personas[0]["id"], 300)
    assert len(world.sent()) == 1


@pytest.mark.parametrize("odd", [{"credits_charged": 400}, {"is_custom": False}])
def test_a_first_answer_that_is_odd_stops_all_further_purchases(world, account, monkeypatch, odd):
    answering(monkeypatch, account, lambda answer: answer | odd)
    with pytest.raises(CreditError, match="nothing more is bought"):
        account.charge(PERSONA)
    assert states(account) == ["settled"]


def test_nothing_is_charged_beyond_the_bill_the_budget_or_the_balance(make_world):
    world = make_world(credits=800)
    account = account_of(world)
    account.charge(PERSONA)
    with pytest.raises(CreditError, match="may cost 300, and 100 of the bill are left"):
        account.charge(PERSONA)
    with pytest.raises(CreditError, match="bill is 701 on top of 300.*the account has 500 left"):
        account.approve(bill_of(account, 701))
    account = Account(world.run(max_credits=400))
    with pytest.raises(CreditError, match="bill is 401.*max_credits is 400"):
        account.approve(bill_of(account, 401))
    with pytest.raises(CreditError, match="that was shown is 99"):
        account.approve(bill_of(account, 300), shown=bill_of(account, 99))
    assert world.mavera.used == 300


def test_a_reply_that_was_charged_and_lost_is_not_asked_for_again(world, account):
    response = payloads.Response(input="Why?", persona_id=make(account)["id"])
    question = Purchase("reply", "Reply", response)
    strike(world, "drop_after", path="/responses")
    entry = account.charge(question)
    assert (entry.state, entry.credits, entry.answer) == ("settled", 1, {})
    assert len(world.sent("POST", "/responses")) == 1 and account.kept(question) is None


@pytest.mark.parametrize("kind", ["drop_after", "drop_while", "500_after"])
def test_maves_answer_is_recovered_from_its_thread(make_world, kind):
    world = make_world(mave_seconds=0.04)  # 40 s, where a second is a millisecond
    account = account_of(world)
    strike(world, kind, path="/mave/chat")
    entry = account.charge(QUESTION)
    assert entry.answer["content"] and entry.credits == world.mavera.used == 15
    assert len(world.sent("POST", "/mave/chat")) == 1
    assert account.kept(QUESTION) == entry
