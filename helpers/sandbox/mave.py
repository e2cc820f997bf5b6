"""What the sandbox says in place of Mave and of the personas: composed from numbers, not research.

Every figure in an answer is one that the message held; nothing is measured, looked up or guessed.
"""

import json
import re

from helpers.sandbox.voices import READINGS

SAYS_SO = (
    "*This is a sandbox answer: composed by rule from the numbers in the message, not research by"
    " Mave. With a Mavera key the same question goes to Mave.*"
)

CHANCES = ("low", "medium", "high")


def read_numbers(message: str) -> tuple[list[dict], dict]:
    """The clusters in a message, and what else its JSON block says.

    A fenced ``json`` block with ``clusters`` is looked for first, then any JSON object, then a
    Markdown table whose header names a cluster and its viewers.
    """
    fenced = re.findall(r"```(?:json)?\s*\n(.*?)```", message, re.DOTALL)
    starts = [match.start() for match in re.finditer(r"[{\[]", message)]
    for text in [*fenced, *(message[at:] for at in starts[:50])]:
        try:
            data, _ = json.JSONDecoder().raw_decode(text.strip())
        except (ValueError, RecursionError):
            continue
        rows = data.get("clusters") if isinstance(data, dict) else data
        if isinstance(rows, dict):
            rows = [{"cluster": name} | row for name, row in rows.items() if isinstance(row, dict)]
        if isinstance(rows, list) and any(isinstance(row, dict) for row in rows):
            named = [row for row in rows if isinstance(row, dict) and _title(row)]
            if named:
                return named, data if isinstance(data, dict) else {}
    return _table(message), {}


def _table(message: str) -> list[dict]:
    lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in message.splitlines()
        if line.count("|") >= 2
    ]
    for at, head in enumerate(lines):
        names = [re.sub(r"\W+", "_", name.lower()).strip("_") for name in head]
        if "cluster" in names and any("viewers" in name for name in names):
            rows = [dict(zip(names, map(_number, line), strict=False)) for line in lines[at + 1 :]]
            return [row for row in rows if re.search(r"\w", str(row.get("cluster") or ""))]
    return []


def _number(text: str) -> object:
    plain = re.sub(r"[,%\s]", "", text)
    try:
        return float(plain) if "." in plain else int(plain)
    except ValueError:
        return text


def answer(message: str, earlier: list[str] = ()) -> str:
    """Markdown in place of Mave's research.

    Parameters
    ----------
    message : str
        The question; its numbers are all that the answer knows.
    earlier : list of str
        Older questions of the thread, for a follow-up that brings no numbers.
    """
    clusters, data = read_numbers(message)
    if clusters and isinstance(clusters[0].get("drops"), list):
        return _edits(clusters)
    if clusters:
        return _research(clusters, data, _closing(message))
    for older in reversed(earlier):
        clusters, _ = read_numbers(older)
        if clusters:
            best = _most_valuable(clusters)
            return (
                f"{SAYS_SO}\n\nOn your follow-up: by the numbers sent before, start with"
                f" {_title(best)}: {_facts(best)}. The sandbox cannot research further than that."
            )
    return (
        f"{SAYS_SO}\n\nBefore I can answer: which clusters do you mean, and how many viewers does"
        " each have? Please send the cluster table with the question."
    )


def _edits(videos: list[dict]) -> str:
    """One edit for each drop of each video, with the figures that were sent."""
    parts = [SAYS_SO]
    for video in videos:
        edits = [
            f"- **At {_line(drop.get('at'))}:** {drop.get('lost_share')} of those at the start"
            " leave here. Cut what comes just before, or move what they came for ahead of it."
            for drop in video["drops"]
        ]
        parts.append("\n".join([f"## {_title(video)}", "", *edits]))
    return "\n\n".join(parts) + "\n"


def _closing(message: str) -> str:
    """The heading that the question wants over the end, if it names one."""
    named = re.findall(r'heading "#* ?([^"\n]{1,80})"', message)
    return _line(named[-1]) if named else "Most valuable cluster"


def _research(clusters: list[dict], data: dict, closing: str) -> str:
    total = _float(data.get("total_viewers"))
    intro = f"{total:,.0f} viewers in {_count(len(clusters))}." if total else ""
    parts = [f"{SAYS_SO}\n\n{intro}".strip()]
    people = data.get("personas")
    names = {
        str(row.get("cluster")): row.get("name")
        for row in (people if isinstance(people, list) else [])
        if isinstance(row, dict)
    }
    parts += [_section({"persona": names.get(str(row.get("cluster")))} | row) for row in clusters]
    best = _most_valuable(clusters)
    known = _float(best.get("identified_viewers"))
    if known:
        action = f"of the {known:,.0f} identified viewers, have sales call those on the call list"
        action += " within 48 hours of their last view"
    else:
        action = "ask for an e-mail address in their most watched video, so that somebody can write"
    parts.append(
        f"## {closing}\n\nThe most valuable cluster is **{_title(best)}**: {_facts(best)}. The one"
        f" action that would convert {_title(best)}: {action}."
    )
    return "\n\n".join(parts) + "\n"


def _section(row: dict) -> str:
    role, motive, looks_for, channel, angle, chance, why, gap = READINGS[_kind(row)]
    persona = row.get("persona_name") or row.get("persona") or ""
    persona = persona.get("name", "") if isinstance(persona, dict) else persona
    profile = f"{_line(persona)}: {role}" if persona and isinstance(persona, str) else role
    titles = _titles(row)
    affinity = f"They watch {titles} most; more of that kind will be watched"
    affinity = affinity if titles else "The numbers sent name no video"
    return "\n".join(
        (
            f"## {_title(row)}",
            "",
            f"- **Persona profile:** {profile}. Motive: {motive}. Looks for {looks_for}. In"
            f" numbers: {_facts(row)}.",
            f"- **Content affinity:** {affinity}.",
            f"- **Outreach:** {channel}. Angle: {angle}.",
            f"- **Conversion probability:** {chance}, because {why}.",
            f"- **Content gaps:** {gap}.",
        )
    )


def _facts(row: dict) -> str:
    """The numbers of a cluster in words, as sent and rounded; those not sent are left out."""
    viewers, share = _float(row.get("viewers")), _float(row.get("share"))
    if viewers is None:
        return "too few viewers to measure"
    facts = [f"{viewers:,.0f} viewer{'' if viewers == 1 else 's'}"]
    if share is not None:
        facts[0] += f" ({share * (100 if share <= 1 else 1):.1f} %)"
    if (videos := _float(row.get("avg_videos"))) is not None:
        facts.append(f"{videos:.1f} videos each")
    if (watched := _float(row.get("avg_percent_watched"))) is not None:
        facts.append(f"{watched:.1f} % of each watched on average")
    if (visits := _float(row.get("avg_visits"))) is not None:
        facts.append(f"{visits:.1f} visits each")
    if (known := _float(row.get("identified_viewers"))) is not None:
        facts.append(f"{known:,.0f} of them identified")
    return ", ".join(facts)


def _kind(row: dict) -> str:
    """Which of the readings fits: by the cluster's name, else by its numbers."""
    for name in (row.get("cluster"), row.get("name"), row.get("title")):
        key = re.sub(r"\W+", "_", str(name or "").lower()).strip("_")
        if key in READINGS:
            return key
    videos, watched = _float(row.get("avg_videos")), _float(row.get("avg_percent_watched"))
    if videos is None or watched is None:
        return "casual_viewers"
    if videos >= 3 and watched >= 50:
        return "binge_watchers" if videos >= 5 and watched >= 75 else "engaged_explorers"
    if videos < 1.5:
        return "bouncers" if watched < 30 else "casual_viewers"
    return "skimmers" if watched < 50 else "casual_viewers"


def _most_valuable(clusters: list[dict]) -> dict:
    def worth(row: dict) -> tuple:
        viewers = _float(row.get("viewers")) or 0
        chance = CHANCES.index(READINGS[_kind(row)][5])
        return viewers > 0, chance, _float(row.get("identified_viewers")) or 0, viewers

    return max(clusters, key=worth)


def _titles(row: dict) -> str:
    videos = row.get("top_videos") or []
    titles = [
        video.get("title") or video.get("name") if isinstance(video, dict) else video
        for video in (videos if isinstance(videos, list) else [])
    ]
    quoted = [f"“{_line(title)}”" for title in titles if isinstance(title, str) and title.strip()]
    return " and ".join(quoted[:2])


def _title(row: dict) -> str:
    return _line(row.get("title") or row.get("cluster") or row.get("name") or "")


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _float(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    return float(value) if good else None


def _count(number: int) -> str:
    words = (
        "no clusters",
        "one cluster",
        "two clusters",
        "three clusters",
        "four clusters",
        "five clusters",
        "six clusters",
        "seven clusters",
    )
    return words[number] if number < len(words) else "many clusters"
