"""Rows as Wistia writes them, made of the invented arrays when somebody reads them."""

from urllib.parse import quote

import numpy as np

from helpers.sandbox import catalogue as made
from helpers.sandbox.account import ANONYMOUS, stamp


class Rows:
    """Visitor and event rows by number.

    Parameters
    ----------
    of : Invention
        The arrays.
    """

    def __init__(self, of):
        self.of = of
        form = of.identified & (of.quirk < 0.7)
        reveal = np.append(of.reveal, np.full(of.people - of.active, -1))
        self.gate = np.where(form, reveal, -1)  # event at which the form was filled in
        self.keys = [self.visitor_key(who) for who in range(of.people)]

    def visitor_key(self, who: int) -> str:
        if who < 2:
            return ("5e98765432", "0098765432")[who]  # as good a key as any
        one, two, three = self.of.parts[who].tolist()
        kind = self.of.quirk[who]
        if 0.80 <= kind < 0.84:
            return f"v20150227_{_uuid(one, two)}"
        if 0.84 <= kind < 0.87:
            return _uuid(one, two)
        if 0.87 <= kind < 0.88:
            return f"{one:012x}"
        return f"{int(self.of.created[who]) // 1000}_{_long_key(one, two, three)}"

    def _event_key(self, at: int) -> str:
        key = self.of.key_of_event[at]
        return f"{self.of.key_time[key] // 1000}_{_long_key(*self.of.event_parts[key].tolist())}"

    def _email(self, who: int) -> str | None:
        """What was given as the e-mail; not always one."""
        person = int(self.of.person[who])
        if person < 0:
            return f"crm-{who:06d}" if self.of.quirk[who] < 0.012 and who < self.of.active else None
        first, last = _name(person)
        local = f"{first}.{last}".lower().replace("'", "").translate(str.maketrans("áë", "ae"))
        round_trip = person // (len(made.FIRST) * len(made.LAST))
        domain = made.BRAND if person % 67 == 5 else _company(person)[0]
        email = f"{local}{round_trip or ''}@{domain}"
        if 0.93 <= self.of.quirk[who] < 0.945:
            return f" {email} "
        return email.title() if 0.945 <= self.of.quirk[who] < 0.96 else email

    def identity(self, who: int) -> dict | None:
        quirk, person = self.of.quirk[who], int(self.of.person[who])
        if person < 0 or 0.90 <= quirk < 0.93:  # the latter told their e-mail to the events alone
            if 0.02 <= quirk < 0.03:
                return None
            identity = ANONYMOUS | {"email": self._email(who) if person < 0 else None}
        else:
            name = "" if 0.1 <= quirk < 0.2 else " ".join(_name(person))
            company = _company(person)[1] if quirk < 0.75 else None
            title = made.TITLES[person % len(made.TITLES)] if person % 2 else None
            if who in self.of.hostile:
                name, company, title = made.HOSTILE[self.of.hostile[who]]
            org = {"name": company, "title": title}
            identity = {"name": name, "email": self._email(who), "org": org}
        if 0.03 <= quirk < 0.037:
            identity = {name: value for name, value in identity.items() if name != "org"}
        return identity | {"org": None} if 0.037 <= quirk < 0.044 else identity

    def _agent(self, who: int) -> dict:
        browser, version, platform, mobile, _ = made.AGENTS[self.of.agent[who]]
        return {
            "browser": browser,
            "browser_version": version,
            "platform": platform,
            "mobile": mobile,
        }

    def visitor(self, who: int) -> dict:
        newest, gate = int(self.of.newest[who]), int(self.gate[who])
        old_key = (
            f"{int(self.of.last[who]) // 1000}_{_long_key(*self.of.parts[who].tolist()[::-1])}"
        )
        return {
            "visitor_key": self.keys[who],
            "created_at": stamp(int(self.of.created[who])),
            "last_active_at": stamp(int(self.of.last[who])),
            "last_event_key": self._event_key(newest) if newest >= 0 else old_key,
            "load_count": int(self.of.loads[who]),
            "play_count": int(self.of.plays[who]),
            "identifying_event_key": self._event_key(gate) if gate >= 0 else None,
            "visitor_identity": self.identity(who),
            "user_agent_details": self._agent(who),
        }

    def event(self, at: int) -> dict:
        who, address, quirk = (
            int(self.of.viewer[at]),
            int(self.of.address[at]),
            self.of.event_quirk[at],
        )
        media_id, media_name, *_ = made.VIDEOS[self.of.video[at]]
        country, region, city, latitude, longitude, *_ = made.PLACES[self.of.place_of_event[at]]
        key, token = self._event_key(at), int(self.of.event_parts[self.of.key_of_event[at], 2])
        centre = made.DATA_CENTRES[address % len(made.DATA_CENTRES)]
        network = (
            centre if self.of.data_centre[address] else made.NETWORKS[self.of.network[address]]
        )
        conversion = self._conversion(at, who)
        return {
            "received_at": stamp(int(self.of.time[at])),
            "event_key": key,
            "ip": _address(address),
            "country": "" if 0.30 <= quirk < 0.305 else country,
            "region": "" if 0.20 <= quirk < 0.22 else region,
            "city": "" if 0.02 <= quirk < 0.066 else city,
            "lat": latitude,
            "lon": longitude,
            "org": "" if 0.40 <= quirk < 0.41 else network,
            "email": self._email(who) if self.of.known[at] else None,
            "percent_viewed": float(self.of.share[at]),
            "embed_url": "" if quirk < 0.013 else self._embed_url(at, who),
            "conversion_type": conversion[0],
            "conversion_data": conversion[1],
            "iframe_heatmap_url": f"https://api.wistia.com/v1/stats/events/{key}/iframe.html"
            f"?public_token={token:012x}",
            "visitor_key": self.keys[who],
            "user_agent_details": self._agent(who),
            "media_id": media_id,
            "media_name": media_name,
            "media_url": f"https://brightpath.wistia.com/medias/{media_id}",
            "thumbnail": {
                "url": f"http://embed.wistia.com/deliveries/{media_id * 4}.bin",
                "width": 1920,
                "height": 1080,
                "fileSize": 400_000 + 997 * int(self.of.video[at]),
                "contentType": "image/png",
                "type": "StillImageFile",
            },
        }

    def _conversion(self, at: int, who: int) -> tuple[str, dict]:
        if at == self.gate[who]:
            identity = self.identity(who) or {}
            first, _, last = str(identity.get("name") or "").partition(" ")
            filled_in = {
                "email": self._email(who),
                "first_name": first,
                "last_name": last,
                "is_new_lead": bool(who % 3),
            }
            return ("pre-roll-email", "mid-roll-email")[who % 2], filled_in
        if self._luck(at) < self._click_chance(at, who):
            return "post-roll-click" if self.of.share[at] == 1 else "mid-roll-click", {}
        return "", {}

    def _click_chance(self, at: int, who: int) -> float:
        """Clicks come from those who watch far, lately, and in a cluster that compares."""
        if who >= self.of.active or self.of.share[at] < 0.4:
            return 0.0
        depth = (self.of.share[at] - 0.4) / 0.6
        age = (self.of.end - int(self.of.time[at])) / 86_400  # days
        recency = 60 / (60 + age)
        wanted = made.CLICKS[self.of.cluster[who]]
        return wanted * depth * recency * (2 if at_offer(self.of.video[at]) else 1)

    def _luck(self, at: int) -> float:
        return int(self.of.event_parts[self.of.key_of_event[at], 1]) % 9973 / 9973

    def _embed_url(self, at: int, who: int) -> str:
        page, source, medium, campaign, private, _ = made.PAGES[self.of.page[at]]
        key = int(self.of.event_parts[self.of.key_of_event[at], 0])
        secret = f"{key:012x}"
        query = {"utm_source": source, "utm_medium": medium, "utm_campaign": campaign}
        if source and self.of.person[who] >= 0 and 0.5 <= self.of.event_quirk[at] < 0.52:
            query["utm_term"] = self._email(who).strip()  # some mailers put it there
        if private:
            person = self.of.person[who] >= 0 and private == "email"
            query[private] = self._email(who).strip() if person else secret
        if 0.6 <= self.of.event_quirk[at] < 0.602:
            query["utm_content"] = "<script>alert(2)</script>"
        filled = "&".join(f"{name}={quote(text, safe='')}" for name, text in query.items() if text)
        return f"https://{page}" + (f"?{filled}" if filled else "")


def at_offer(video: int) -> bool:
    """Whether a video ends with an offer: those about the product."""
    return made.VIDEOS[video][3] == "Product"


def medias() -> list[dict]:
    """The media list: without deleted videos, with images, which have no duration."""
    rows = [
        _media(number, media_id, name, folder, {"duration": seconds})
        for number, (media_id, name, seconds, folder, _) in enumerate(made.VIDEOS)
        if media_id not in made.DELETED
    ]
    for number, (media_id, name, folder) in enumerate(made.IMAGES):
        image = _media(100 + number, media_id, name, folder, {} if number else {"duration": None})
        rows.append(image | {"type": "Image"})
    return rows


def _media(number: int, media_id: str, name: str, folder: str, duration: dict) -> dict:
    created = f"{2022 + number % 4}-0{1 + number % 9}-1{number % 10}T09:1{number % 6}:00+00:00"
    folders = sorted({video[3] for video in made.VIDEOS})
    section = {"section": "Campaigns"} if number % 3 == 0 else {}
    return {
        "id": 100_286_039 + number,
        "name": name,
        "type": "Video",
        "archived": False,
        "created": created,
        "updated": "2026-05-03T12:34:13+00:00",
        **duration,
        "hashed_id": media_id,
        "description": "",
        "progress": 1.0,
        "status": "ready",
        "thumbnail": {
            "url": f"https://embed-ssl.wistia.com/deliveries/{media_id * 4}.jpg"
            "?image_crop_resized=200x120",
            "width": 200,
            "height": 120,
        },
        **section,
        "project": {
            "id": 8_017_828 + folders.index(folder),
            "name": folder,
            "hashed_id": f"folder{folders.index(folder)}x1y2",
        },
    }


def _uuid(one: int, two: int) -> str:
    digits = f"{one:012x}{two:012x}{one ^ two:012x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def _long_key(one: int, two: int, three: int) -> str:
    digits = f"{two ^ three:012x}{three:012x}"
    return f"{_uuid(one, two)}-{digits[:9]}-{digits[12:]}-{digits[9:12]}{one % 16:x}"


def _name(person: int) -> tuple[str, str]:
    first, last = made.FIRST, made.LAST
    return first[person % len(first)], last[(person * 7 + person // len(first)) % len(last)]


def _company(person: int) -> tuple[str, str | None]:
    return made.COMPANIES[person * 5 % len(made.COMPANIES)]


def _address(number: int) -> str:
    if number % 7 == 0:
        return f"2001:db8::{number // 65536:x}:{number % 65536:x}"
    return f"{('192.0.2', '198.51.100', '203.0.113')[number % 3]}.{number // 3 % 254 + 1}"
