"""The shapes of both services' answers that the kit relies on, and how live answers differ."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from jsonschema import Draft202012Validator

_KINDS = {
    str: "string", bool: "boolean", int: "integer", float: "number", list: "array",
    dict: "object", type(None): "null",
}  # fmt: skip
NEWEST_FIRST = {
    "/v1/stats/events.json": "received_at", "/v1/stats/visitors.json": "last_active_at"
}  # fmt: skip
DISPENSABLE = {"/modern/token", "/v1/medias.json"}
"""The kit goes on where these are refused."""

MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}"


def _object(need: str = "", may: str = "", **rules: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema of an object from ``key:type|type`` words; `rules` tighten single keys."""
    words = [word.split(":") for word in f"{need} {may}".split()]
    properties = {key: {"type": kinds.split("|")} for key, kinds in words}
    for key, rule in rules.items():
        properties[key] = {**properties.get(key, {}), **rule}
    required = [word.split(":")[0] for word in need.split()]
    return {"type": "object", "required": required, "properties": properties}


def _rows(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "maxItems": 100, "items": schema}


def _listed(schema: dict[str, Any]) -> dict[str, Any]:
    return _object("data:array", "object:string has_more:boolean|null next_cursor:string|null",
                   data={"items": schema})  # fmt: skip


_DEVICE = _object("", "browser:string|null browser_version:string|null platform:string|null "
                      "mobile:boolean|null")  # fmt: skip
_ORG = {"type": ["object", "null"], "properties": _object(
    "", "name:string|null title:string|null")["properties"]}  # fmt: skip
_IDENTITY = {"type": ["object", "null"], "properties": {
    **_object("", "name:string|null email:string|null")["properties"], "org": _ORG}}  # fmt: skip

WISTIA = {
    "/modern/token": _object("", "scopes:array|string scope:string id:string|number|null "
                                 "name:string|null object:string application:object|string|null "
                                 "expires_at:number|string|null type:string|null"),
    "/v1/stats/events.json": _rows(_object(
        "event_key:string visitor_key:string media_id:string received_at:string "
        "percent_viewed:number",
        "media_name:string|null media_url:string|null country:string|null region:string|null "
        "city:string|null lat:number|string|null lon:number|string|null org:string|null "
        "email:string|null ip:string|null embed_url:string|null conversion_type:string|null "
        "conversion_data:object|null iframe_heatmap_url:string|null thumbnail:object|string|null "
        "user_agent_details:object|null",
        percent_viewed={"minimum": 0, "maximum": 1},
        received_at={"pattern": MOMENT},
        user_agent_details=_DEVICE | {"type": ["object", "null"]},
    )),
    "/v1/stats/visitors.json": _rows(_object(
        "visitor_key:string",
        "created_at:string|null last_active_at:string|null last_event_key:string|null "
        "load_count:integer|null play_count:integer|null identifying_event_key:string|null "
        "visitor_identity:object|null user_agent_details:object|null",
        last_active_at={"pattern": MOMENT},
        visitor_identity=_IDENTITY,
        user_agent_details=_DEVICE | {"type": ["object", "null"]},
    )),
    "/v1/medias.json": _rows(_object(
        "hashed_id:string",
        "id:number name:string|null type:string|null archived:boolean created:string|null "
        "updated:string|null duration:number|null description:string|null progress:number|null "
        "status:string|null section:string|null tags:array|null project:object|null "
        "folder:object|null subfolder:object|null thumbnail:object|null assets:array|null",
    )),
}  # fmt: skip
MAVERA = {
    "/usage": _object(
        "credits:object",
        "auto_recharge:object|null limits:object|null rate_limit:object|null object:string",
        credits=_object("used:number", "included:number|null remaining:number|null"),
        auto_recharge=_object("", "enabled:boolean|null threshold:number|null "
                                  "credits_to_add:number|null") | {"type": ["object", "null"]},
    ),
    "/personas": _listed(_object(
        "id:string name:string",
        "object:string category:string|null description:string|null is_custom:boolean "
        "pipeline_type:string|null type:string|null created_at:number|string|null "
        "details:object|null credits_charged:number|null",
    )),
    "/mave/threads": _listed(_object(
        "id:string",
        "object:string title:string|null created_at:number|string|null messages:array|null "
        "updated_at:number|string|null workspace_id:string|null credits_used:number|null "
        "sources:array|null usage:object|null",
    )),
}  # fmt: skip


def differences(path: str, answer: Any, schema: dict[str, Any]) -> list[dict[str, Any]]:
    """How an answer differs from the shape relied on; never a value of it.

    Returns
    -------
    list of dict
        path, key, expected, rows (how many), relied_on (False: a key that the kit does not know).
    """
    found: Counter[tuple[str, str, bool]] = Counter()
    lacking = set()
    for error in Draft202012Validator(schema).iter_errors(answer):
        place = tuple(error.absolute_path)
        if error.validator == "required":  # one error for each key, each naming them all
            lacking |= {(*place, key) for key in error.validator_value if key not in error.instance}
        elif error.validator == "type":
            kinds = " or ".join(_listing(error.validator_value))
            found[_named(place), f"{kinds}, not {_KINDS[type(error.instance)]}", True] += 1
        else:
            found[_named(place), f"{error.validator} {error.validator_value}", True] += 1
    found.update((_named(place), "present", True) for place in lacking)
    found.update((key, "no such key", False) for key in _unknown(answer, schema))
    return [
        {"path": path, "key": key, "expected": expected, "rows": rows, "relied_on": relied}
        for (key, expected, relied), rows in sorted(found.items())
    ]


def _listing(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


def _named(path: Any) -> str:
    """A key as ``data[].name``; a name that is no plain word may be somebody's text."""
    names = ["[]" if isinstance(part, int) else f".{_plain(part)}" for part in path]
    return "".join(names).lstrip(".") or "(the answer)"


def _plain(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name) else "(odd name)"


def _unknown(answer: Any, schema: dict[str, Any], path: tuple = ()) -> list[str]:
    """Keys that the schema does not name, once for each place they stand in."""
    if isinstance(answer, list) and "items" in schema:
        return [key for row in answer for key in _unknown(row, schema["items"], (*path, 0))]
    if not isinstance(answer, dict) or "properties" not in schema:
        return []
    known = schema["properties"]
    here = [_named([*path, name]) for name in answer if name not in known]
    for name in answer.keys() & known.keys():
        here += _unknown(answer[name], known[name], (*path, name))
    return here


def order(path: str, answer: Any) -> list[dict[str, Any]]:
    """Whether a list comes newest first, which incremental reading relies on."""
    key = NEWEST_FIRST.get(path)
    rows = answer if key else []
    moments = [row[key] for row in rows if isinstance(row, dict) and isinstance(row.get(key), str)]
    broken = sum(later > earlier for earlier, later in zip(moments, moments[1:], strict=False))
    found = {"path": path, "key": f"[].{key}", "expected": "newest first", "rows": broken}
    return [{**found, "relied_on": True}] if broken else []
