"""The sandbox's Mavera: refusals, credits, lists, threads, and what Mave says there."""

import json
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest

from helpers.sandbox import mave

DRAFT = {"pipeline_type": "north_star", "type": "B2B", "name": "Binge Watchers",
         "description": "Watch five or more videos."}  # fmt: skip
GUIDED = {"pipeline_type": "intermediate", "goals": ["grow"], "mcda_weights": {"price": 5}}
CLUSTERS = [
    {"cluster": "binge_watchers", "title": "Binge Watchers", "viewers": 89, "share": 0.0714,
     "avg_videos": 8.2, "avg_percent_watched": 82.4, "avg_visits": 4.1, "identified_viewers": 67,
     "top_videos": [{"title": "Product demo"}, {"title": "Pricing <b>"}]},
    {"cluster": "bouncers", "title": "Bouncers", "viewers": 412, "share": 0.3304,
     "avg_videos": 1.0, "avg_percent_watched": 18.3, "identified_viewers": 51},
    {"cluster": "own_rule", "title": "Almost nobody", "description": "A small cluster."},
]  # fmt: skip
QUESTION = f"""Map these to personas.
```json
{json.dumps({"total_viewers": 1247, "clusters": CLUSTERS}, indent=1)}
```"""


@pytest.fixture
def mavera(serve):
    """Requests to a Mavera, and its state."""

    def start(**options):
        sandbox = serve(viewers=0, **options)
        return sandbox.call, sandbox.app.mavera

    return start


def error(answer) -> tuple:
    body = answer.json()["error"]
    assert set(body) == {"message", "type", "code", "param"}
    return answer.status_code, body["code"], body["param"]


def test_a_persona_is_made_charged_and_changed(mavera):
    call, service = mavera()
    answer = call("POST", "/personas", DRAFT)
    made = answer.json()
    assert answer.status_code == 201
    assert (made["object"], made["credits_charged"]) == ("custom_persona", 300)
    assert made["description"].startswith("Sandbox persona")
    assert service.personas[0]["draft"] == DRAFT
    assert "draft" not in call("GET", f"/personas/{made['id']}").json()
    again = call("POST", "/personas", DRAFT | GUIDED).json()  # one name, two personas
    assert again["id"] != made["id"] and again["details"]["goals"] == ["grow"]
    assert call("GET", "/usage").json()["credits"] == {
        "used": 600, "included": 50_000, "remaining": 49_400,
    }  # fmt: skip
    changed = call("PATCH", f"/personas/{made['id']}", {"description": "Now another."}).json()
    assert changed["description"].endswith("Now another.") and changed["id"] == made["id"]
    assert changed["name"] == DRAFT["name"] and service.used == 600
    assert error(call("PATCH", f"/personas/{made['id']}", {"name": "x"}))[2] == "name"
    base = call("GET", "/personas").json()["data"][0]["id"]
    assert error(call("PATCH", f"/personas/{base}", {"name": "Mine"}))[:2] == (403, "forbidden")


def test_a_wrong_draft_is_refused_by_field_and_nothing_is_charged(mavera):
    call, service = mavera()
    for name in DRAFT:
        body = {field: value for field, value in DRAFT.items() if field != name}
        assert error(call("POST", "/personas", body)) == (400, "missing_field", name)
    for change, param in (
        ({"name": "x"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"type": "b2b"}, "type"),
        ({"pipeline_type": "best"}, "pipeline_type"),
        ({"goals": ["grow"]}, "goals"),
        (GUIDED | {"goals": "grow"}, "goals"),
        (GUIDED | {"mcda_weights": {"price": 6}}, "mcda_weights"),
        (GUIDED | {"favourite_colour": "red"}, "favourite_colour"),
    ):
        assert error(call("POST", "/personas", DRAFT | change)) == (400, "invalid_field", param)
    assert service.used == 0 and not service.personas


def test_keys_paths_and_bodies_are_checked(mavera):
    call, _ = mavera()
    assert error(call("GET", "/usage", key="wrong")) == (401, "invalid_api_key", None)
    assert error(call("GET", "/usage", key="")) == (401, "missing_api_key", None)
    assert error(call("POST", "/personas", ["a", "list"])) == (400, "invalid_field", None)
    for method, path in (("GET", "/nowhere"), ("DELETE", "/personas"), ("GET", "/personas/none")):
        assert error(call(method, path))[:2] == (404, "resource_not_found")


def test_credits_run_out_and_usage_tells_of_auto_recharge(mavera):
    call, service = mavera(credits=650, auto_recharge=True)
    statuses = [call("POST", "/personas", DRAFT).status_code for _ in range(3)]
    assert statuses == [201, 201, 402] and service.used == 600
    assert error(call("POST", "/personas", DRAFT)) == (402, "credits_exhausted", None)
    assert call("GET", "/usage").json()["auto_recharge"]["enabled"] is True


def test_lists_are_paged_by_cursor_and_hold_base_personas(mavera):
    call, service = mavera(per_minute=1000)
    service.add_personas([f"Persona {number:03d}" for number in range(130)])
    rows, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = call("GET", "/personas", limit=100, **({"cursor": cursor} if cursor else {})).json()
        assert page["object"] == "list" and page["has_more"] == bool(page["next_cursor"])
        rows, cursor, pages = rows + page["data"], page["next_cursor"], pages + 1
    assert pages == 2 and len({row["id"] for row in rows}) == len(rows) == 136
    assert len(call("GET", "/personas").json()["data"]) == 50
    assert "Binge Watchers" in [row["name"] for row in rows if not row["is_custom"]]
    found = call("GET", "/personas", search="persona 12").json()["data"]
    assert [row["name"] for row in found] == [f"Persona 12{digit}" for digit in range(10)]
    assert error(call("GET", "/personas", limit=101)) == (400, "invalid_field", "limit")
    assert error(call("GET", "/personas", cursor="?")) == (400, "invalid_field", "cursor")


def test_the_list_of_threads_has_both_documented_forms(mavera):
    call, service = mavera(threads_by_offset=True)
    for number in range(3):
        call("POST", "/mave/chat", {"message": f"Question {number}?"})
    page = call("GET", "/mave/threads", offset=1, limit=1).json()
    assert (page["offset"], page["limit"], page["total"]) == (1, 1, 3)
    assert [row["title"] for row in page["data"]] == ["Question 1?"]
    assert not {"has_more", "next_cursor"} & set(page)
    service.threads_by_offset = False
    page = call("GET", "/mave/threads").json()
    assert set(page) == {"object", "data", "has_more", "next_cursor"}


def test_mave_answers_from_the_numbers_and_the_thread_keeps_it(mavera):
    call, service = mavera()
    call("POST", "/personas", DRAFT)
    said = call("POST", "/mave/chat", {"message": QUESTION}).json()
    assert 10 <= said["usage"]["credits_used"] <= 75
    assert service.used == 300 + said["usage"]["credits_used"]
    assert said["personas_used"] == [{"id": service.personas[0]["id"], "name": "Binge Watchers"}]
    threads = call("GET", "/mave/threads").json()["data"]
    assert [thread["id"] for thread in threads] == [said["thread_id"]]
    kept = call("GET", f"/mave/threads/{said['thread_id']}").json()["messages"]
    assert [(row["role"], row["content"]) for row in kept] == [
        ("user", QUESTION),
        ("assistant", said["content"]),
    ]
    assert kept[1]["usage"] == said["usage"] and kept[1]["sources"] == said["sources"]
    again = {"message": "And first?", "thread_id": said["thread_id"]}
    second = call("POST", "/mave/chat", again).json()
    assert second["thread_id"] == said["thread_id"]
    assert second["usage"]["credits_used"] == 10 and "Binge Watchers" in second["content"]
    assert error(call("POST", "/mave/chat", again | {"thread_id": "none"}))[0] == 404
    assert error(call("POST", "/mave/chat", {"text": "?"})) == (400, "missing_field", "message")
    unknown = {"message": "?", "persona_id": "p"}
    assert error(call("POST", "/mave/chat", unknown)) == (400, "invalid_field", "persona_id")


def test_mave_takes_at_most_ten_questions_at_once_and_another_answer_may_stand_in(mavera):
    call, _ = mavera(mave_seconds=1.0, answers=lambda message: {"content": "Yes.", "sources": []})
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(call, "POST", "/mave/chat", {"message": "?"}) for _ in range(12)]
    answers = [answer.result() for answer in asked]
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 2
    assert {answer.json()["content"] for answer in answers if answer.ok} == {"Yes."}


def test_the_answer_says_first_what_it_is_and_covers_each_cluster():
    text = mave.answer(QUESTION)
    assert "sandbox answer" in text.splitlines()[0] and "not research" in text.splitlines()[0]
    parts = text.split("\n## ")
    titles = [part.splitlines()[0] for part in parts[1:]]
    assert titles == ["Binge Watchers", "Bouncers", "Almost nobody", "Most valuable cluster"]
    for part in parts[1:4]:
        for point in ("Persona profile", "Content affinity", "Outreach", "Conversion probability",
                      "Content gaps"):  # fmt: skip
            assert f"**{point}:**" in part
    for figure in ("89 viewers", "7.1 %", "82.4 %", "67 of them identified", "Product demo"):
        assert figure in parts[1]
    nothing = mave.answer(json.dumps({"clusters": [{"cluster": "bouncers", "viewers": 412}]}))
    assert "**Content affinity:** The numbers sent name no video.\n" in nothing
    asked = 'At the end, under the heading "## Closing advice": the best.\n' + QUESTION
    assert "\n## Closing advice\n" in mave.answer(asked)


@pytest.mark.parametrize("message", ["Hello", "```json\n{]\n```", "{" * 500, '{"clusters": [1]}'])
def test_without_numbers_mave_asks_back(message):
    assert "which clusters do you mean" in mave.answer(message)


def test_a_persona_answers_as_json_by_schema(mavera):
    call, service = mavera()
    persona = call("POST", "/personas", DRAFT).json()["id"]
    schema = {
        "type": "object",
        "properties": {
            "watch_on": {"type": "string", "maxLength": 60},
            "channel": {"enum": ["email", "call"]},
            "urgency": {"type": "integer", "minimum": 2},
            "videos": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/video"}},
        },
        "required": ["watch_on", "channel", "urgency", "videos"],
        "additionalProperties": False,
        "$defs": {"video": {"type": "object", "properties": {"title": {"type": "string"}},
                            "required": ["title"]}},
    }  # fmt: skip
    body = {"model": "mavera-1", "input": "What would make you watch on?", "persona_id": persona}
    form = {"format": {"type": "json_schema", "name": "reply", "schema": schema, "strict": True}}
    said = call("POST", "/responses", body | {"text": form}).json()
    reply = json.loads(said["output"][0]["content"][0]["text"])
    jsonschema.validate(reply, schema)
    assert "Sandbox" in reply["watch_on"] and 1 <= said["usage"]["credits_used"] <= 5
    assert service.used == 300 + said["usage"]["credits_used"]
    plain = call("POST", "/responses", body).json()["output"][0]["content"][0]["text"]
    assert plain.startswith("(Sandbox reply")
    for change, expected in (
        ({"model": "gpt"}, (400, "invalid_field", "model")),
        ({"input": None}, (400, "missing_field", "input")),
        ({"persona_id": "none"}, (404, "resource_not_found", None)),
        ({"mood": "good"}, (400, "invalid_field", "mood")),
        ({"text": {"format": {"type": "json_schema"}}}, (400, "invalid_field", "text.format")),
    ):
        assert error(call("POST", "/responses", body | change)) == expected
