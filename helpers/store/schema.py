"""Columns of what is stored, as ``columns.yml`` lists them, and their types."""

from collections.abc import Mapping

import pyarrow as pa

from helpers.core.files import read_package_yaml

KINDS = {
    "text": (pa.string(), "VARCHAR"),
    "flag": (pa.bool_(), "BOOLEAN"),
    "count": (pa.int64(), "BIGINT"),
    "number": (pa.float64(), "DOUBLE"),
    "day": (pa.date32(), "DATE"),
    "time": (pa.timestamp("us", tz="UTC"), "TIMESTAMPTZ"),
}
"""Types of columns, in Arrow and in SQL."""
SQL_TYPES = dict(KINDS.values())


def columns(kinds: Mapping[str, str]) -> pa.Schema:
    """A schema of columns and their kinds."""
    return pa.schema([(name, KINDS[kind][0]) for name, kind in kinds.items()])


TABLES = {name: columns(kinds) for name, kinds in read_package_yaml("store/columns.yml").items()}
SESSIONS, VISITORS, MEDIAS = TABLES["sessions"], TABLES["visitors"], TABLES["medias"]
MEDIA_STATS, ENGAGEMENT, VIEWERS = TABLES["media_stats"], TABLES["engagement"], TABLES["viewers"]
