"""Wistia's data and stats API, as strict as the service: paging, caps, order, filters, errors."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from helpers.sandbox.account import Account, Table
from helpers.sandbox.engagement import rewatched, watching
from helpers.sandbox.web import Limiter, answer, bearer

SCOPES = ("stats:read", "media:read", "all:read")
MOST = 100  # rows of a page, whatever is asked for


class Wistia:
    """The routes of one account.

    Parameters
    ----------
    account : Account
        Read anew at every request, so that rows may move while somebody reads.
    per_minute : int
        Requests a minute over all tokens.
    scopes : dict of str to sequence of str, optional
        Tokens that may do less than everything, e.g. ``{"stats-only": ["stats:read"]}``.
    """

    def __init__(
        self,
        account: Account,
        per_minute: int = 600,
        scopes: dict[str, Sequence[str]] | None = None,
    ):
        self.account, self.scopes = account, scopes or {}
        self.limiter = Limiter(per_minute)

    def routes(self) -> list[Route]:
        routes = [Route("/modern/token", self.token)]
        for base, end in (("/v1", ".json"), ("/modern", "")):
            routes += [
                Route(f"{base}/stats/visitors{end}", self.visitors),
                Route(f"{base}/stats/events{end}", self.events),
                Route(f"{base}/stats/medias/{{media}}/engagement{end}", self.engagement),
                Route(f"{base}/stats/medias/{{media}}{end}", self.media_stats),
                Route(f"{base}/medias{end}", self.medias),
            ]
        return routes

    def _refusal(self, request: Request, scope: str | None) -> Response | None:
        """Why this request is not answered, if so."""
        token = bearer(request)
        if not token or token == "wrong":
            data = {"code": "unauthorized_credentials", "error": "Invalid credentials."}
            return answer(data, 401)
        if (wait := self.limiter.admit()) is not None:
            return Response("Rate limit exceeded\n", 429, {"Retry-After": str(wait)}, "text/plain")
        allowed = self.scopes.get(token, SCOPES)
        if scope and scope not in allowed and "all:read" not in allowed:
            data = {"code": "unauthorized_scope", "error": f"The token lacks the scope {scope}."}
            return answer(data, 401)
        return None

    async def token(self, request: Request) -> Response:
        if refusal := self._refusal(request, None):
            return refusal
        scopes = list(self.scopes.get(bearer(request), SCOPES))
        return answer(
            {
                "type": "permanent",
                "application": None,
                "scopes": scopes,
                "name": "sandbox token",
                "expires_at": None,
            }
        )

    async def visitors(self, request: Request) -> Response:
        if refusal := self._refusal(request, "stats:read"):
            return refusal
        table, columns = self.account.visitors, self.account.visitors.columns
        chosen: Iterable[int] = range(len(table))
        wanted, search = request.query_params.get("filter"), request.query_params.get("search")
        if wanted:
            filters = {"has_email": "email", "has_name": "name", "identified_by_email_gate": "gate"}
            if wanted not in filters:
                return answer({"error": f"filter must be one of {', '.join(filters)}"}, 422)
            known = columns[filters[wanted]]
            chosen = [at for at in chosen if known[at] is True or str(known[at] or "").strip()]
        if search:
            text = search.lower()
            names, emails = columns["name"], columns["email"]
            chosen = [a for a in chosen if text in names[a].lower() or text in emails[a].lower()]
        return _page(table, chosen, request)

    async def events(self, request: Request) -> Response:
        if refusal := self._refusal(request, "stats:read"):
            return refusal
        days = {}
        for name in ("start_date", "end_date"):
            text = request.query_params.get(name)
            try:
                days[name] = datetime.strptime(text, "%Y-%m-%d").date() if text else None
            except ValueError:
                return answer({"error": f"{name} must have the format YYYY-MM-DD"}, 422)
        table = self.account.events
        chosen: Iterable[int] = table.within(days["start_date"], days["end_date"])
        for name in ("media_id", "visitor_key"):
            if text := request.query_params.get(name):
                column = table.columns[name]
                chosen = [at for at in chosen if column[at] == text]
        return _page(table, chosen, request)

    async def medias(self, request: Request) -> Response:
        if refusal := self._refusal(request, "media:read"):
            return refusal
        rows = self.account.medias
        if request.url.path.startswith("/modern"):  # there it is called a folder
            rows = [
                {"folder" if key == "project" else key: value for key, value in row.items()}
                for row in rows
            ]
        return _page(rows, range(len(rows)), request)

    def _sessions(self, request: Request) -> tuple[dict, list[tuple[str, float]]] | None:
        """A media, and visitor_key and share of each of its sessions; None if there is no such."""
        media = request.path_params["media"]
        known = (
            row
            for row in self.account.medias
            if media in (row.get("hashed_id"), str(row.get("id")))
        )
        if (row := next(known, None)) is None:
            return None
        columns = self.account.events.columns
        mine = [at for at, of in enumerate(columns["media_id"]) if of == row.get("hashed_id")]
        return row, [
            (columns["visitor_key"][at], float(columns["percent_viewed"][at] or 0)) for at in mine
        ]

    async def media_stats(self, request: Request) -> Response:
        if refusal := self._refusal(request, "stats:read"):
            return refusal
        if (found := self._sessions(request)) is None:
            return Response(status_code=404)
        row, sessions = found
        plays, watched = len(sessions), sum(share for _, share in sessions)
        loads = plays + plays * (3 + len(str(row.get("name"))) % 5) // 4  # many load, fewer play
        viewers = len({visitor for visitor, _ in sessions})
        return answer(
            {
                "load_count": loads,
                "play_count": plays,
                "play_rate": plays / loads if loads else 0.0,
                "hours_watched": watched * (row.get("duration") or 0) / 3600,
                "engagement": watched / plays if plays else 0.0,
                "visitors": viewers + (loads - plays) * 2 // 3,
            }
        )

    async def engagement(self, request: Request) -> Response:
        if refusal := self._refusal(request, "stats:read"):
            return refusal
        if (found := self._sessions(request)) is None:
            return Response(status_code=404)
        row, sessions = found
        seconds = row.get("duration")
        drops, peaks = self.account.marks.get(row.get("hashed_id"), ((), ()))
        seen = watching(sessions, seconds, drops)
        watched = sum(share for _, share in sessions)
        return answer(
            {
                "engagement": watched / len(sessions) if sessions else 0.0,
                "engagement_data": seen,
                "rewatch_data": rewatched(seen, seconds, peaks),
            }
        )


def _page(rows: Table | list[dict], chosen: Iterable[int], request: Request) -> Response:
    """One page of the chosen rows: from 1, 10 rows if nothing is said, never more than 100."""
    page = _whole(request.query_params.get("page"), 1)
    size = min(_whole(request.query_params.get("per_page"), 10), MOST)
    chosen = chosen if isinstance(chosen, Sequence) else list(chosen)
    return answer([rows[at] for at in chosen[(page - 1) * size : page * size]])


def _whole(text: str | None, otherwise: int) -> int:
    """A positive whole number; anything else counts as not said."""
    return int(text) if text and text.isascii() and text.isdigit() and int(text) else otherwise
