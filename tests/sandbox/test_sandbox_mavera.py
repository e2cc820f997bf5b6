"""The sandbox's Mavera: refusals, credits, lists, threads, and what Mave says there."""

import json
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
import requests

from helpers.sandbox import mave, voices
from helpers.sandbox.server import create_app, start_in_thread

DRAFT = {"pipeline_type": "north_star", "type": "B2B", "name": "Binge Watchers",
         "description": "Watch five or more videos."}  # fmt: skip
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
def serve():
    stops = []

    def start(**options):
        app = create_app(viewers=0, **options)
        url, stop = start_in_thread(app)
        stops.append(stop)

        def call(method, path, body=None, key="mvra_live_x", **query):
            return requests.request(
                method, f"{url}/api/v1{path}", params=query, timeout=30,
                json=body, headers={"Authorization": f"Bearer {key}"},
            )  # fmt: skip

        return call, app.mavera

    yield start
    for stop in stops:
        stop()


def error(answer) -> tuple:
    body = answer.json()["error"]
    assert set(body) == {"message", "type", "code", "param"}
    return answer.status_code, body["code"], body["param"]


def test_a_persona_is_made_and_charged(serve):
    call, service = serve()
    answer = call("POST", "/personas", DRAFT)
    made = answer.json()
    assert answer.status_code == 201
    assert set(made) == {
        "id", "object", "name", "category", "description", "pipeline_type", "type", "is_custom",
        "created_at", "credits_charged", "details",
    }  # fmt: skip
    assert (made["object"], made["is_custom"], made["credits_charged"]) == (
        "custom_persona", True, 300,
    )  # fmt: skip
    assert made["description"].startswith("Sandbox persona")
    assert call("GET", "/usage").json()["credits"] == {
        "used": 300, "included": 50_000, "remaining": 49_700,
    }  # fmt: skip
    assert service.personas[0]["draft"] == DRAFT
    assert "draft" not in call("GET", f"/personas/{made['id']}").json()


@pytest.mark.parametrize("name", ["pipeline_type", "type", "name", "description"])
def test_a_missing_field_is_named(serve, name):
    call, service = serve()
    body = {field: value for field, value in DRAFT.items() if field != name}
    assert error(call("POST", "/personas", body)) == (400, "missing_field", name)
    assert service.used == 0


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": "x"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"type": "b2b"}, "type"),
        ({"pipeline_type": "best"}, "pipeline_type"),
        ({"goals": ["grow"]}, "goals"),
        ({"favourite_colour": "red"}, "favourite_colour"),
        ({"pipeline_type": "intermediate", "goals": "grow"}, "goals"),
        ({"pipeline_type": "intermediate", "mcda_weights": {"price": 6}}, "mcda_weights"),
        ({"pipeline_type": "intermediate", "favourite_colour": "red"}, "favourite_colour"),
    ],
)
def test_an_invalid_or_unknown_field_is_refused(serve, change, param):
    call, service = serve()
    assert error(call("POST", "/personas", DRAFT | change)) == (400, "invalid_field", param)
    assert service.used == 0 and not service.personas


def test_guided_fields_are_taken_and_kept(serve):
    call, _ = serve()
    guided = {"pipeline_type": "intermediate", "goals": ["grow"], "mcda_weights": {"price": 5}}
    made = call("POST", "/personas", DRAFT | guided).json()
    assert made["details"]["goals"] == ["grow"] and made["details"]["mcda_weights"] == {"price": 5}


def test_the_same_name_makes_a_second_persona_and_charges_it(serve):
    call, service = serve()
    ids = {call("POST", "/personas", DRAFT).json()["id"] for _ in range(2)}
    assert len(ids) == 2 and service.used == 600


def test_keys_are_checked(serve):
    call, _ = serve()
    assert error(call("GET", "/usage", key="wrong")) == (401, "invalid_api_key", None)
    assert error(call("GET", "/usage", key="")) == (401, "missing_api_key", None)


def test_credits_run_out(serve):
    call, service = serve(credits=650)
    statuses = [call("POST", "/personas", DRAFT).status_code for _ in range(3)]
    assert statuses == [201, 201, 402] and service.used == 600
    assert error(call("POST", "/personas", DRAFT)) == (402, "credits_exhausted", None)


def test_over_the_limit_is_429_and_every_answer_tells_the_rate(serve):
    call, _ = serve(per_minute=2)
    first = call("GET", "/usage")
    assert first.headers["X-RateLimit-Limit"] == "2"
    assert first.headers["X-RateLimit-Remaining"] == "1"
    assert int(first.headers["X-RateLimit-Reset"]) > 1_700_000_000
    call("GET", "/usage")
    third = call("POST", "/personas", DRAFT)
    assert error(third) == (429, "rate_limit_exceeded", None)
    assert 1 <= int(third.headers["Retry-After"]) <= 60


def test_lists_are_paged_by_cursor_and_hold_base_personas(serve):
    call, service = serve(per_minute=1000)
    service.add_personas([f"Persona {number:03d}" for number in range(130)])
    rows, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = call("GET", "/personas", limit=100, **({"cursor": cursor} if cursor else {})).json()
        assert page["object"] == "list" and page["has_more"] == bool(page["next_cursor"])
        rows, cursor, pages = rows + page["data"], page["next_cursor"], pages + 1
    assert pages == 2 and len({row["id"] for row in rows}) == len(rows) == 136
    assert len(call("GET", "/personas").json()["data"]) == 50
    base = [row for row in rows if not row["is_custom"]]
    assert "Binge Watchers" in [row["name"] for row in base]
    found = call("GET", "/personas", search="persona 12").json()["data"]
    assert [row["name"] for row in found] == [f"Persona 12{digit}" for digit in range(10)]
    assert error(call("GET", "/personas", limit=101)) == (400, "invalid_field", "limit")
    assert error(call("GET", "/personas", cursor="?")) == (400, "invalid_field", "cursor")


def test_a_custom_persona_may_be_changed_and_a_base_one_not(serve):
    call, service = serve()
    made = call("POST", "/personas", DRAFT).json()
    changed = call("PATCH", f"/personas/{made['id']}", {"description": "Now another."}).json()
    assert changed["description"].endswith("Now another.") and changed["id"] == made["id"]
    assert changed["name"] == DRAFT["name"] and service.used == 300
    assert error(call("PATCH", f"/personas/{made['id']}", {"name": "x"}))[2] == "name"
    base = call("GET", "/personas").json()["data"][0]["id"]
    assert error(call("PATCH", f"/personas/{base}", {"name": "Mine"}))[:2] == (403, "forbidden")
    assert error(call("GET", "/personas/none"))[:2] == (404, "resource_not_found")


def test_mave_answers_from_the_numbers_and_the_thread_keeps_it(serve):
    call, service = serve()
    call("POST", "/personas", DRAFT)
    said = call("POST", "/mave/chat", {"message": QUESTION}).json()
    assert {
        "id", "object", "thread_id", "role", "content", "sources", "personas_used", "usage",
        "created_at",
    } <= set(said)  # fmt: skip
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


def test_a_follow_up_costs_less_and_stays_in_its_thread(serve):
    call, _ = serve()
    first = call("POST", "/mave/chat", {"message": QUESTION}).json()
    again = {"message": "And first?", "thread_id": first["thread_id"]}
    second = call("POST", "/mave/chat", again).json()
    assert second["thread_id"] == first["thread_id"]
    assert second["usage"]["credits_used"] == 10 and "Binge Watchers" in second["content"]
    assert error(call("POST", "/mave/chat", again | {"thread_id": "none"}))[0] == 404
    assert error(call("POST", "/mave/chat", {"text": "?"})) == (400, "missing_field", "message")
    unknown = {"message": "?", "persona_id": "p"}
    assert error(call("POST", "/mave/chat", unknown)) == (400, "invalid_field", "persona_id")


def test_mave_takes_at_most_ten_questions_at_once(serve):
    call, service = serve(mave_seconds=1.0)
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(call, "POST", "/mave/chat", {"message": "?"}) for _ in range(12)]
    statuses = sorted(answer.result().status_code for answer in asked)
    assert statuses == [200] * 10 + [429] * 2


def test_another_answer_may_stand_in(serve):
    call, _ = serve(answers=lambda message: {"content": "Yes, 17 %.", "sources": []})
    said = call("POST", "/mave/chat", {"message": QUESTION}).json()
    assert (said["content"], said["sources"]) == ("Yes, 17 %.", [])


def test_the_answer_says_first_what_it_is_and_covers_each_cluster():
    text = mave.answer(QUESTION)
    assert "sandbox answer" in text.splitlines()[0]
    assert "not research" in text.splitlines()[0]
    parts = text.split("\n## ")
    titles = [part.splitlines()[0] for part in parts[1:]]
    assert titles == ["Binge Watchers", "Bouncers", "Almost nobody", "Most valuable cluster"]
    for part in parts[1:4]:
        for point in ("Persona profile", "Content affinity", "Outreach", "Conversion probability",
                      "Content gaps"):  # fmt: skip
            assert f"**{point}:**" in part
    for figure in ("89 viewers", "7.1 %", "82.4 %", "67 of them identified", "Product demo"):
        assert figure in parts[1]
    assert "too few viewers to measure" in parts[3]
    assert "Binge Watchers" in parts[4] and "48 hours" in parts[4]


def test_the_closing_heading_is_the_one_asked_for():
    asked = 'At the end, under the heading "## Closing advice": the best.\n' + QUESTION
    assert "\n## Closing advice\n" in mave.answer(asked)


def test_numbers_are_found_in_a_table_too():
    table = "| Cluster | Viewers | Avg videos |\n|:--|--:|--:|\n| Skimmers | 1,187 | 2.5 |\n"
    text = mave.answer(table)
    assert "\n## Skimmers\n" in text and "1,187 viewers, 2.5 videos each" in text


@pytest.mark.parametrize("message", ["Hello", "```json\n{]\n```", "{" * 500, '{"clusters": [1]}'])
def test_without_numbers_mave_asks_back(message):
    assert "which clusters do you mean" in mave.answer(message)


def test_a_persona_answers_as_json_by_schema(serve):
    call, service = serve()
    persona = call("POST", "/personas", DRAFT).json()["id"]
    schema = {
        "type": "object",
        "properties": {
            "watch_on": {"type": "string", "maxLength": 60},
            "talk_to_sales": {"type": "string"},
            "channel": {"enum": ["email", "call"]},
            "urgency": {"type": "integer", "minimum": 2},
            "videos": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/video"}},
        },
        "required": ["watch_on", "talk_to_sales", "channel", "urgency", "videos"],
        "additionalProperties": False,
        "$defs": {"video": {"type": "object", "properties": {"title": {"type": "string"}},
                            "required": ["title"]}},
    }  # fmt: skip
    body = {"model": "mavera-1", "input": "What would make you watch on?", "persona_id": persona}
    form = {"format": {"type": "json_schema", "name": "reply", "schema": schema, "strict": True}}
    said = call("POST", "/responses", body | {"text": form}).json()
    reply = json.loads(said["output"][0]["content"][0]["text"])
    jsonschema.validate(reply, schema)
    assert "Sandbox" in reply["talk_to_sales"] and "sales" in reply["talk_to_sales"]
    assert 1 <= said["usage"]["credits_used"] <= 5
    assert service.used == 300 + said["usage"]["credits_used"]
    plain = call("POST", "/responses", body).json()["output"][0]["content"][0]["text"]
    assert plain.startswith("(Sandbox reply")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": "gpt"}, (400, "invalid_field", "model")),
        ({"input": None}, (400, "missing_field", "input")),
        ({"persona_id": ""}, (400, "missing_field", "persona_id")),
        ({"persona_id": "none"}, (404, "resource_not_found", None)),
        ({"mood": "good"}, (400, "invalid_field", "mood")),
        ({"text": {"format": {"type": "json_schema"}}}, (400, "invalid_field", "text.format")),
    ],
)
def test_a_wrong_response_call_is_refused(serve, change, expected):
    call, service = serve()
    body = {"model": "mavera-1", "input": "Why?", "persona_id": "persona_base_0001"}
    assert error(call("POST", "/responses", body | change)) == expected
    assert service.used == 0


def test_a_body_that_is_no_json_and_a_path_that_is_not_there(serve):
    call, _ = serve()
    assert error(call("POST", "/personas", ["a", "list"])) == (400, "invalid_field", None)
    assert error(call("GET", "/nowhere"))[:2] == (404, "resource_not_found")
    assert error(call("DELETE", "/personas"))[:2] == (404, "resource_not_found")


def test_state_is_shared_by_two_apps_one_after_the_other(serve, tmp_path):
    file = tmp_path / "state.json"
    call, first = serve(state=file)
    call("POST", "/mave/chat", {"message": QUESTION})
    _, second = serve(state=file)
    assert second.state == first.state and second.used > 0
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_usage_warns_of_auto_recharge_when_told_to(serve):
    call, _ = serve(auto_recharge=True)
    assert call("GET", "/usage").json()["auto_recharge"]["enabled"] is True


def test_details_of_a_persona_say_that_they_are_not_research():
    details = voices.persona_details("Engaged Explorers", "Three or more videos.")
    assert details["summary"].startswith("Sandbox persona") and details["goals"]
