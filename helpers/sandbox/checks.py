"""What Mavera refuses, and how: required fields, unknown fields, enumerations, lengths."""

import base64
import json

from starlette.requests import Request

TEXTS = (
    "role_segment",
    "primary_objectives",
    "goals",
    "pains",
    "triggers",
    "channels",
    "proof_types",
    "alternatives",
    "win_factors",
    "objections",
)
WEIGHTS = ("price", "timeToValue", "risk", "proof", "support")
PIPELINES = ("north_star", "intermediate", "advanced")
COMMON = ("pipeline_type", "type", "name", "description", "category", "workspace_id")
GUIDED = (*TEXTS, "buying_stage", "decision_role", "mcda_weights")
RESPONSE_FIELDS = (
    "model",
    "input",
    "persona_id",
    "instructions",
    "text",
    "temperature",
    "top_p",
    "max_output_tokens",
    "stream",
)


class Refusal(Exception):
    """An error answer of the service."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None):
        super().__init__(message)
        kind = {
            401: "authentication_error",
            402: "billing_error",
            403: "permission_error",
            429: "rate_limit_error",
        }.get(status, "invalid_request_error")
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "code": code, "param": param}}


async def read_body(request: Request) -> dict:
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise Refusal(400, "invalid_field", "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Refusal(400, "invalid_field", "The body is not a JSON object.")
    return body


def require(body: dict, name: str) -> None:
    value = body.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise Refusal(400, "missing_field", f"{name} is required.", name)


def allow_only(body: dict, names: tuple[str, ...]) -> None:
    for name in body:
        if name not in names:
            raise Refusal(400, "invalid_field", f"Unknown field {name[:60]}.", name[:60])


def text_of(body: dict, name: str) -> str:
    if not isinstance(body[name], str):
        raise Refusal(400, "invalid_field", f"{name} must be text.", name)
    return body[name]


def check_persona(body: dict, pipeline: object) -> None:
    """Refuse what the reference does not show; nothing is attested of the advanced pipeline."""
    if pipeline not in PIPELINES:
        message = f"pipeline_type must be one of {', '.join(PIPELINES)}."
        raise Refusal(400, "invalid_field", message, "pipeline_type")
    if pipeline != "advanced":
        allow_only(body, COMMON + (GUIDED if pipeline == "intermediate" else ()))
    if "type" in body and body["type"] not in ("B2B", "B2C"):
        raise Refusal(400, "invalid_field", "type must be B2B or B2C.", "type")
    for name in ("name", "description", "category", "buying_stage", "decision_role"):
        if name in body:
            text_of(body, name)
    if "name" in body and not 2 <= len(body["name"].strip()) <= len(body["name"]) <= 100:
        raise Refusal(400, "invalid_field", "name must have 2 to 100 characters.", "name")
    for name in TEXTS:
        values = body.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise Refusal(400, "invalid_field", f"{name} must be a list of texts.", name)
    weights = body.get("mcda_weights", {})
    if not isinstance(weights, dict) or any(
        name not in WEIGHTS or value not in (1, 2, 3, 4, 5) for name, value in weights.items()
    ):
        message = f"mcda_weights gives 1 to 5 to {', '.join(WEIGHTS)}."
        raise Refusal(400, "invalid_field", message, "mcda_weights")


def schema_of(text: object) -> dict | None:
    """The JSON schema of ``text.format``, if one is asked for."""
    if text is None:
        return None
    form = text.get("format") if isinstance(text, dict) else None
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "text":
        return None
    if kind != "json_schema" or not isinstance(form.get("schema"), dict) or not form.get("name"):
        message = "text.format needs type json_schema, a name and a schema."
        raise Refusal(400, "invalid_field", message, "text.format")
    return form["schema"]


def listing(rows: list[dict], request: Request, *, by_offset: bool = False) -> dict:
    """A page of a list: with the cursor to the next one, or by offset, with the total."""
    query = request.query_params
    try:
        limit = int(query.get("limit", 50))
        cursor = query.get("cursor")
        start = int(base64.urlsafe_b64decode(cursor)) if cursor else 0
        start = int(query.get("offset", 0)) if by_offset else start
    except ValueError:
        raise Refusal(400, "invalid_field", "limit or cursor is not valid.", "cursor") from None
    if not 1 <= limit <= 100 or start < 0:
        raise Refusal(400, "invalid_field", "limit must be 1 to 100.", "limit")
    end = start + limit
    page = {"object": "list", "data": rows[start:end]}
    if by_offset:
        return page | {"offset": start, "limit": limit, "total": len(rows)}
    more = end < len(rows)
    after = base64.urlsafe_b64encode(str(end).encode()).decode() if more else None
    return page | {"has_more": more, "next_cursor": after}
