"""Mavera's calls: pages, what counts as our own, threads."""

import pytest

from helpers.core.errors import ServiceError
from helpers.mavera.client import Mavera


class Pages:
    """A client that answers from a list, and notes what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def get(self, path, params=None, **_):
        self.asked.append((path, params))
        return self.answers.pop(0)


def row(number, **more):
    return {"id": f"p{number}", "name": f"Persona {number}", "is_custom": True, **more}


def test_all_pages_are_read_by_cursor_and_base_personas_are_not_ours():
    client = Pages(
        {"data": [row(1), row(2, is_custom=False)], "has_more": True, "next_cursor": "c1"},
        {"data": [row(3), row(1)], "has_more": False, "next_cursor": None},
    )
    assert [found.id for found in Mavera(client).custom_personas()] == ["p1", "p3"]
    asked = [params for path, params in client.asked if path == "/personas"]
    assert asked == [{"limit": 100}, {"limit": 100, "cursor": "c1"}]


FULL, REST = ({"data": [row(n) for n in range(*ends)]} for ends in ((0, 100), (100, 130)))


@pytest.mark.parametrize(
    "answers",
    [
        [FULL | {"offset": 0, "limit": 100, "total": 130}, REST | {"offset": 100, "total": 130}],
        [FULL, REST],
        [{"data": FULL["data"] + REST["data"], "total": 130}],
    ],
    ids=["total", "nothing", "one page"],
)
def test_a_list_without_cursor_is_read_by_offset_to_its_end(answers):
    client = Pages(*answers)
    assert len(Mavera(client).custom_personas()) == 130
    assert client.asked[1:] == [("/personas", {"limit": 100, "offset": 100})][: len(answers) - 1]


@pytest.mark.parametrize(
    "answers",
    [
        [FULL, FULL],  # full, and what comes next is the same again
        [FULL | {"next_cursor": "c"}, FULL | {"next_cursor": "c"}],
        [{"data": None}], [{"data": {}}], [{}],
        [{"data": [row(1), {"name": "Skimmers"}]}],  # no id: left out, it could be bought twice
        [FULL | {"has_more": True}, {"data": [], "has_more": True}],
    ],
)  # fmt: skip
def test_a_list_that_is_not_whole_is_refused(answers):
    with pytest.raises(ServiceError, match="nothing is bought"):
        Mavera(Pages(*answers)).custom_personas()


def test_usage_without_used_credits_is_refused_and_the_rest_may_be_missing():
    with pytest.raises(ServiceError, match="credits.used"):
        Mavera(Pages({"credits": {"included": 500}})).usage()
    usage = Mavera(Pages({"credits": {"used": 7}, "auto_recharge": None})).usage()
    assert (usage.used, usage.remaining, usage.auto_recharge) == (7, None, None)


def thread(*said):
    return {"id": "t1", "messages": [{"role": role, "content": text} for role, text in said]}


@pytest.mark.parametrize(
    "said", [[("assistant", "A")], [("mave", "A")], [("assistant", ""), ("assistant", "A")]]
)
def test_an_answer_is_found_in_its_thread_by_the_mark_of_the_question(said):
    earlier = [("user", "Q vp-0"), ("assistant", "Z"), ("user", "Q vp-1")]
    for messages, found in ((earlier + said, "A"), (earlier, None)):
        client = Pages({"data": [{"id": "t1"}]}, thread(*messages))
        assert Mavera(client).answer_to("vp-1").get("content") == found


def test_a_question_that_no_thread_has_is_none_and_the_newest_threads_are_read_first():
    rows = [{"id": "old", "created_at": 1}, {"id": "new", "created_at": 9}]
    client = Pages({"data": rows}, *[thread(("user", "other"), ("assistant", "A"))] * 2)
    assert Mavera(client).answer_to("vp-1") is None
    assert [path for path, _ in client.asked[1:]] == ["/mave/threads/new", "/mave/threads/old"]
