"""Mavera's API: required fields, refusals, credits, threads; its state survives restarts."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from helpers.sandbox import checks, mave, voices
from helpers.sandbox.checks import (
    Refusal,
    allow_only,
    check_persona,
    listing,
    read_body,
    require,
    schema_of,
    text_of,
)
from helpers.sandbox.mavera_state import State, now
from helpers.sandbox.web import Limiter, answer, bearer

BASE = "/api/v1"
PERSONA_CREDITS = 300
MAVE_AT_ONCE = 10
BASE_PERSONAS = (  # every account has such; the last bears a name that a kit might want for its own
    ("Startup Founder", "Professional", "Builds a company, short of time and money."),
    ("Enterprise CTO", "Professional", "Answers for systems that must not fail."),
    ("Marketing Director", "Professional", "Owns the pipeline and the brand."),
    ("Gen Z Consumer", "Generational", "Grew up with video on a phone."),
    ("Small Business Owner", "Professional", "Decides alone, on evenings and weekends."),
    ("Binge Watchers", "Lifestyle", "People who watch whole seasons of a series in a weekend."),
)


class Mavera(State):
    """The routes of one account at Mavera.

    Parameters
    ----------
    state : Path, optional
        JSON file that personas, threads and credits are kept in; without it they live in memory.
    credits : int
        Credits of the plan.
    per_minute : int
        Requests a minute over all keys.
    base_personas : sequence of (name, category, description)
        Personas that belong to the service.
    answers : callable, optional
        Message to Mave's answer, in place of the composed one: Markdown, or a dict that is laid
        over the answer object (content, sources, validation, ...).
    mave_seconds : float
        How long Mave thinks; the thread shows the question meanwhile.
    auto_recharge : bool
        What /usage says of it.
    threads_by_offset : bool
        The list of threads has offset, limit and total instead of a cursor: both are documented.
    """

    def __init__(
        self,
        state: Path | None = None,
        *,
        credits: int = 50_000,
        per_minute: int = 600,
        base_personas=BASE_PERSONAS,
        answers: Callable[[str], str | dict] | None = None,
        mave_seconds: float = 0.0,
        auto_recharge: bool = False,
        threads_by_offset: bool = False,
    ):
        self.limiter = Limiter(per_minute)
        self.answers, self.mave_seconds, self.auto_recharge = answers, mave_seconds, auto_recharge
        self.threads_by_offset = threads_by_offset
        self._thinking = 0
        base = [
            {
                "id": f"persona_base_{number:04d}",
                "object": "persona",
                "name": name,
                "category": category,
                "description": text,
                "is_custom": False,
            }
            for number, (name, category, text) in enumerate(base_personas, 1)
        ]
        super().__init__(state, credits, base)

    # -- for tests ------------------------------------------------------------------------------

    def add_personas(self, names: list[str]) -> None:
        """Custom personas that were there before, free of charge; for tests."""
        for name in names:
            self.personas.append(
                self._persona(
                    {"name": name, "description": "", "type": "B2B", "pipeline_type": "north_star"}
                )
            )

    # -- routes --------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        table = (
            ("/personas", "GET", self.list_personas),
            ("/personas", "POST", self.create_persona),
            ("/personas/{id}", "GET", self.get_persona),
            ("/personas/{id}", "PATCH", self.change_persona),
            ("/mave/chat", "POST", self.chat),
            ("/mave/threads", "GET", self.list_threads),
            ("/mave/threads/{id}", "GET", self.get_thread),
            ("/responses", "POST", self.respond),
            ("/usage", "GET", self.usage),
        )
        routes = [Route(BASE + path, self._guarded(do), methods=[how]) for path, how, do in table]
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [*routes, Route(BASE + "/{rest:path}", self._guarded(_nowhere), methods=every)]

    def _guarded(self, do: Callable):
        """Key, limit, refusals and headers around a route."""

        async def endpoint(request: Request) -> Response:
            headers = {}
            try:
                key = bearer(request)
                if not key or key == "wrong":
                    code = "invalid_api_key" if key else "missing_api_key"
                    raise Refusal(401, code, "The API key is missing or not valid.")
                if (wait := self.limiter.admit()) is not None:
                    headers["Retry-After"] = str(wait)
                    raise Refusal(429, "rate_limit_exceeded", "Too many requests.")
                response = await do(request)
            except Refusal as refusal:
                response = answer(refusal.body, refusal.status)
            response.headers.update(
                headers
                | {
                    "X-RateLimit-Limit": str(self.limiter.per_minute),
                    "X-RateLimit-Remaining": str(self.limiter.remaining),
                    "X-RateLimit-Reset": str(now() + self.limiter.reset),
                }
            )
            return response

        return endpoint

    async def list_personas(self, request: Request) -> Response:
        text = request.query_params.get("search", "").lower()
        rows = [
            row
            for row in [*self._base, *self.personas]
            if not text or text in row["name"].lower() or text in row["description"].lower()
        ]
        page = listing(rows, request)
        return answer(page | {"data": [_shown(row) for row in page["data"]]})

    async def get_persona(self, request: Request) -> Response:
        return answer(_shown(self._found(request.path_params["id"])))

    async def create_persona(self, request: Request) -> Response:
        body = await read_body(request)
        for name in ("pipeline_type", "type", "name"):
            require(body, name)
        if body["pipeline_type"] == "north_star":
            require(body, "description")
        check_persona(body, body["pipeline_type"])
        self._charge(PERSONA_CREDITS)
        persona = self._persona(body)
        self.personas.append(persona)
        self._save()
        return answer(_shown(persona) | {"credits_charged": PERSONA_CREDITS}, 201)

    async def change_persona(self, request: Request) -> Response:
        persona = self._found(request.path_params["id"])
        if not persona["is_custom"]:
            raise Refusal(403, "forbidden", "Personas of the service cannot be changed.")
        body = await read_body(request)
        check_persona(body, body.get("pipeline_type", persona["pipeline_type"]))
        given = persona["draft"] | body
        self.personas[self.personas.index(persona)] = changed = self._persona(given, persona)
        self._save()
        return answer(_shown(changed))

    async def chat(self, request: Request) -> Response:
        body = await read_body(request)
        require(body, "message")
        allow_only(body, ("message", "thread_id", "workspace_id", "stream"))
        message = text_of(body, "message")
        if body.get("stream"):
            raise Refusal(400, "invalid_field", "The sandbox does not stream.", "stream")
        thread = self._thread(body["thread_id"]) if body.get("thread_id") else None
        follow_up = bool(thread)
        cost = max(10, min(75, 15 + len(message) // 250) // (2 if follow_up else 1))
        self._afford(cost)
        if self._thinking >= MAVE_AT_ONCE:
            raise Refusal(429, "rate_limit_exceeded", "At most 10 questions at once.")
        if thread is None:
            thread = {
                "id": self._id("thread"),
                "object": "mave_thread",
                "title": message[:60],
                "created_at": now(),
                "updated_at": now(),
                "messages": [],
            }
            self.state["threads"].append(thread)
        earlier = [said["content"] for said in thread["messages"] if said["role"] == "user"]
        thread["messages"].append(
            {"id": self._id("msg"), "role": "user", "content": message, "created_at": now()}
        )
        self._save()
        self._thinking += 1
        try:
            await asyncio.sleep(self.mave_seconds)
        finally:
            self._thinking -= 1
        self._charge(cost)
        said = self._mave(thread["id"], message, earlier, cost)
        thread["messages"].append({name: said[name] for name in said if name != "thread_id"})
        thread["updated_at"] = now()
        self._save()
        return answer(said)

    async def list_threads(self, request: Request) -> Response:
        rows = [
            {name: thread[name] for name in thread if name != "messages"}
            for thread in reversed(self.state["threads"])
        ]
        by_offset = self.threads_by_offset or "offset" in request.query_params
        return answer(listing(rows, request, by_offset=by_offset))

    async def get_thread(self, request: Request) -> Response:
        return answer(self._thread(request.path_params["id"]))

    async def respond(self, request: Request) -> Response:
        body = await read_body(request)
        for name in ("model", "input", "persona_id"):
            require(body, name)
        allow_only(body, checks.RESPONSE_FIELDS)
        if body["model"] != "mavera-1":
            raise Refusal(400, "invalid_field", "The only model is mavera-1.", "model")
        if not isinstance(body["input"], str | list):
            raise Refusal(400, "invalid_field", "input must be text or a list.", "input")
        schema = schema_of(body.get("text"))
        persona = self._found(text_of(body, "persona_id"))
        cost = min(5, 1 + len(json.dumps(body["input"])) // 800)
        self._charge(cost)
        content = {"type": "output_text", "text": voices.reply(persona, schema), "annotations": []}
        message = {
            "type": "message",
            "id": self._id("msg"),
            "role": "assistant",
            "status": "completed",
            "content": [content],
        }
        response = {
            "id": self._id("resp"),
            "object": "response",
            "created_at": now(),
            "status": "completed",
            "model": "mavera-1",
            "output": [message],
            "usage": {"credits_used": cost},
        }
        self._save()
        return answer(response)

    async def usage(self, request: Request) -> Response:
        credit = self.state["credits"]
        return answer(
            {
                "credits": credit | {"remaining": credit["included"] - credit["used"]},
                "auto_recharge": {
                    "enabled": self.auto_recharge,
                    "threshold": 100,
                    "credits_to_add": 1000,
                },
                "limits": {"budget_alert": None, "usage_limit": None},
                "rate_limit": {"requests_per_minute": self.limiter.per_minute},
            }
        )

    # -- within --------------------------------------------------------------------------------

    def _persona(self, given: dict, before: dict | None = None) -> dict:
        """The persona that a draft becomes; its text says what it is."""
        description = str(given.get("description") or "")
        return {
            "id": before["id"] if before else self._id("persona"),
            "object": "custom_persona",
            "name": given["name"],
            "category": given.get("category") or "Custom",
            "description": f"{voices.PERSONA_SAYS_SO} {description}".strip(),
            "pipeline_type": given["pipeline_type"],
            "type": given["type"],
            "is_custom": True,
            "created_at": before["created_at"] if before else now(),
            "details": voices.persona_details(given["name"], description)
            | {name: value for name, value in given.items() if name not in checks.COMMON},
            "draft": given,  # as sent; not shown
        }

    def _mave(self, thread_id: str, message: str, earlier: list[str], cost: int) -> dict:
        named = [
            {"id": row["id"], "name": row["name"]}
            for row in self.personas
            if row["name"] in message
        ]
        said = self.answers(message) if self.answers else mave.answer(message, earlier)
        return {
            "id": self._id("msg"),
            "object": "mave_message",
            "thread_id": thread_id,
            "role": "assistant",
            "content": said if isinstance(said, str) else mave.answer(message, earlier),
            "sources": [
                {
                    "title": "Sandbox: the numbers in the message",
                    "url": "https://example.com/sandbox",
                    "domain": "example.com",
                }
            ],
            "personas_used": named,
            "usage": {"credits_used": cost},
            "validation": {
                "confidence_score": 0.5,
                "hallucination_risk": "low",
                "unsupported_claims": [],
            },
            "created_at": now(),
        } | (said if isinstance(said, dict) else {})


async def _nowhere(request: Request) -> Response:
    raise Refusal(404, "resource_not_found", f"There is no {request.method} {request.url.path}.")


def _shown(persona: dict) -> dict:
    return {name: value for name, value in persona.items() if name != "draft"}
