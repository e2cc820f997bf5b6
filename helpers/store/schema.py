"""Columns of what is stored. What nothing reads is not stored; older files may hold more."""

from __future__ import annotations

import pyarrow as pa


def _schema(required: dict[str, pa.DataType], optional: dict[str, pa.DataType]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in required.items()]
        + [pa.field(name, kind) for name, kind in optional.items()]
    )


def _texts(names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split(), pa.string())


_TIME = pa.timestamp("us", tz="UTC")
SESSIONS = _schema(
    {
        **_texts("event_key visitor_key media_id"),
        "received_at": _TIME,
        "percent_viewed": pa.float64(),
    },
    {
        **_texts("media_name email country region city org page utm_source utm_medium"),
        **_texts("utm_campaign conversion_type"),
        "mobile": pa.bool_(),
    },
)
VISITORS = _schema(
    _texts("visitor_key"),
    {"last_active_at": _TIME, **_texts("name email org_name org_title")},
)
MEDIAS = _schema(
    _texts("media_id"), {**_texts("name"), "duration": pa.float64(), **_texts("folder")}
)
