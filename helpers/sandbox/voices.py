"""How the clusters of the job read, and what a persona of each would say; by rule, not research."""

import json

PERSONA_SAYS_SO = "Sandbox persona, composed by rule from the draft it was sent, not researched."

# role, motive, looks for, channel, angle, chance, why, gap
READINGS = {
    "binge_watchers": (
        "an evaluator shortly before a decision, or a customer who wants to master the product",
        "to be certain before committing, and to be good at it afterwards",
        "depth: complete walk-throughs, set-up, integration, answers to the second question",
        "a personal call or e-mail from sales within 48 hours of the last view",
        "offer to answer what the videos could not, on the viewer's own case",
        "high",
        "they spend more time than anybody and finish what they start",
        "an advanced series and a comparison of plans for the moment of decision",
    ),
    "engaged_explorers": (
        "a manager or analyst who compares ways to solve a problem",
        "to understand the options and to bring a reasoned proposal to others",
        "comparisons, customer stories of their own industry, the return on the investment",
        "an e-mail series that continues where the last video ended",
        "show the next step: from what it is to what it would change for them",
        "medium",
        "they come with a purpose, and have not yet settled on anything",
        "customer stories by industry and a short case for the budget",
    ),
    "bouncers": (
        "somebody whose question was another one, or who came by accident",
        "to find out within seconds whether this is for them",
        "a first sentence that names their problem",
        "no personal outreach; change the page and the advertisement that led here",
        "say in the first seconds whom the video is for, and offer a shorter way",
        "low",
        "they left before the content could work",
        "an opening that keeps the promise of the advertisement",
    ),
    "skimmers": (
        "a practitioner with one concrete question",
        "to get an answer, not a story",
        "chapters, transcripts, short answers on price, set-up and security",
        "links to answers: a help page, chapters, a short message with the exact place",
        "give the answer first and the story on request",
        "low",
        "they look at several videos and stay with none",
        "short videos of one question each, and chapters in the long ones",
    ),
    "casual_viewers": (
        "an occasional visitor who follows a recommendation or comes back after a while",
        "to keep up with a subject without a decision to make yet",
        "stories, news, an occasional webinar",
        "the newsletter, with one video picked by what they saw last",
        "a light invitation; those who watched one video to the end deserve a second",
        "medium",
        "good leads hide among them: people who watched one video to the end",
        "a natural second video after each first one",
    ),
}


def _kind_of_text(text: str) -> str:
    """The reading that a persona's name or description points to."""
    words = {
        "binge_watchers": "binge",
        "engaged_explorers": "explor",
        "bouncers": "bounce",
        "skimmers": "skim",
    }
    found = [(text.lower().find(word), kind) for kind, word in words.items()]
    return min(((at, kind) for at, kind in found if at >= 0), default=(0, "casual_viewers"))[1]


def persona_details(name: str, description: str) -> dict:
    """What Mavera would generate for a persona, composed from its draft."""
    role, motive, looks_for, channel, angle, _, _, gap = READINGS[
        _kind_of_text(f"{name} {description}")
    ]
    return {
        "summary": f"{PERSONA_SAYS_SO} {' '.join(name.split())} is {role}.",
        "motivation": motive,
        "goals": [looks_for],
        "pains": [f"misses {gap}"],
        "channels": [channel],
        "communication_style": angle,
    }


def reply(persona: dict, schema: dict | None) -> str:
    """A persona's own words; JSON by the schema if one is given, and still marked as sandbox."""
    text = f"{persona.get('name', '')} {persona.get('description', '')}"
    role, motive, looks_for, channel, angle, _, _, gap = READINGS[_kind_of_text(text)]
    if schema is None:
        return (
            f"(Sandbox reply, composed by rule.) I am {role}. I want {motive}. I would watch on for"
            f" {looks_for}; what I miss is {gap}. Reach me by {channel}."
        )
    words = {
        "watch": f"(Sandbox reply) {looks_for}; what I miss is {gap}",
        "sales": f"(Sandbox reply) {angle}; best by {channel}",
        "talk": f"(Sandbox reply) {angle}; best by {channel}",
        "cluster": persona.get("name", ""),
        "name": persona.get("name", ""),
    }
    return json.dumps(_by_schema(schema, "", words, f"(Sandbox reply) {motive}", schema, 0))


def _by_schema(schema: dict, key: str, words: dict, otherwise: str, root: dict, depth: int):
    """The smallest value that a JSON schema allows, its strings filled in by property name."""
    if not isinstance(schema, dict) or depth > 12:
        return otherwise
    if "$ref" in schema:
        target = root
        for step in str(schema["$ref"]).lstrip("#/").split("/"):
            target = target.get(step, {}) if isinstance(target, dict) else {}
        schema = target
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            schema = {**schema, **schema[choice][0]}
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind

    def inside(part: dict, name: str):
        return _by_schema(part, name, words, otherwise, root, depth + 1)

    if kind == "object":
        return {name: inside(part, name) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        count = max(1, schema.get("minItems", 1))
        return [inside(schema.get("items", {}), key) for _ in range(count)]
    if kind in ("number", "integer"):
        return schema.get("minimum", min(1, schema.get("maximum", 1)))
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    text = next((said for word, said in words.items() if word in key.lower()), otherwise)
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength", 2000)]
