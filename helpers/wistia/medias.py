"""Videos into the store: their titles, lengths and folders."""

from __future__ import annotations

from helpers.core.errors import AccessError
from helpers.core.files import write_parquet
from helpers.store.schema import MEDIAS
from helpers.store.store import Store
from helpers.wistia.client import Facts, Wistia, refuse_unusable
from helpers.wistia.rows import to_table


class MediaFacts(Facts):
    """What became of the videos."""

    readable: bool = True  # the token may read them


def read_medias(wistia: Wistia, store: Store) -> MediaFacts:
    """Put the account's videos into ``medias.parquet``, unless the token may not read them.

    Raises
    ------
    DataError
        Over 1 % of them have no id.
    """
    try:
        pages = list(wistia.medias())
    except AccessError:
        return MediaFacts(readable=False)
    rows = {row.media_id: row for page in pages for row in page.rows}
    unusable = [problem for page in pages for problem in page.problems]
    refuse_unusable(unusable, len(rows), "Wistia: videos")
    write_parquet(store.medias_path, to_table(list(rows.values()), MEDIAS))
    return MediaFacts(pages=len(pages), rows=len(rows), unusable=len(unusable))
