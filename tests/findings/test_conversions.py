"""Conversions per cluster and what became of an earlier period's viewers."""

import pytest
from scipy.stats import binomtest

from helpers.findings import conversions
from helpers.store import rules
from tests.viewing import session, tables

RULES = rules.load()


def test_rates_have_wilsons_interval_and_a_word_beside_the_rate_of_all():
    sessions = [session(f"b{n}", "v1", 0.1) for n in range(60)]
    sessions += [session(f"c{n}", "v1", 0.9, conversion_type="form" if n < 30 else None)
                 for n in range(60)]  # fmt: skip
    sessions += [session("c0", "v2", 0.9, conversion_type="form")]
    table = conversions.rates(tables(sessions), RULES.names).set_index("cluster")
    row, exact = table.loc["casual_viewers"], binomtest(30, 60).proportion_ci(method="wilson")
    assert (row["converted"], row["conversions"], row["rate"]) == (30, 31, 0.5)
    assert (row["rate_low"], row["rate_high"]) == pytest.approx((exact.low, exact.high))
    assert row["observed"] == "high"
    assert table.loc["bouncers", "observed"] == "low"
    assert table.loc["skimmers", "observed"] == "too few to say"


def test_no_conversion_is_said_and_rates_are_none_seen():
    found = conversions.conversions(tables([session(f"b{n}", percent=0.1) for n in range(40)]),
                                    RULES.titles)  # fmt: skip
    assert found["finding"] == "No session of the window has a conversion."
    assert found["rows"][2]["observed"] == "none seen"


def test_small_groups_of_converters_are_hidden_and_kinds_above_min_cell_shown():
    sessions = [session(f"c{n}", percent=0.9, conversion_type="form" if n < 4 else None)
                for n in range(50)]  # fmt: skip
    sessions += [session(f"b{n}", percent=0.1, conversion_type="call") for n in range(20)]
    found = conversions.conversions(tables(sessions), RULES.titles)
    rows = {row["cluster"]: row for row in found["rows"]}
    assert rows["casual_viewers"]["converted"] is None
    assert rows["casual_viewers"]["rate"] is None
    assert rows["casual_viewers"]["observed"] == "hidden"
    assert found["finding"] == "24 viewers of 70 converted (34\u00a0%)."
    assert [row["kind"] for row in found["more"]["kinds"]["rows"]] == ["call"]


def test_no_viewers_is_no_error():
    con = tables([])
    assert "No session" in conversions.conversions(con, RULES.titles)["finding"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("- **Conversion probability:** high, because few of them are low on time.", "high"),
        ("### Conversion Probability\n\nMedium. Some are identified.", "medium"),
        ("**Conversion potential (high, medium or low): Low**", "low"),
        ("| Conversion likelihood | Moderate |", "medium"),
        ("Conversion probability is rather low to medium for them.", "low to medium"),
        ("Conversion probability: Medium–High", "medium to high"),
        ("Conversion probability: about average, given their high intent.", None),
        ("Conversion probability: not high.", None),
        ("Highly engaged. Ask for a high price.", None),
        (None, None),
    ],
)
def test_the_word_for_conversion_probability_is_read_from_the_text(text, word):
    assert conversions.stated(text) == word
