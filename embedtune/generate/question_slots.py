"""The wording of a question slot in a prompt. It is part of the prompt: changing it changes every cache key."""

from embedtune.core.config.generate import GenerateSettings
from embedtune.core.errors import ConfigError
from embedtune.generate.questions_to_ask import MULTI_HOP, QuestionSlot

REASONING = {
    "factual": "a value, name or limit",
    "procedural": "what to do",
    "causal": "the cause",
    "relational": "how two things differ or belong together",
    "inferential": "what follows",
    "temporal": "when or how long",
}
QUERY_TYPES = {
    "structural": "about the thing itself",
    "contextual": "in a certain situation",
    "multi_hop": "joins all passages",
}
STYLES = ("question", "keywords", "symptom", "howto")


def question_slot_text(place: int, slot: QuestionSlot) -> str:
    """Return one line that requests a question: its style, what it asks for, and how many facts it needs.

    Complexity c (2 to 5) is requested as c - 1 facts that the answer combines.

    Args:
        place: Number of the question slot, from 1.
        slot: The labels of the question.
    """
    facts = slot.complexity - 1
    needs = f"needs {facts} fact{'s' if facts > 1 else ''}"
    wanted = f"asks for {REASONING[slot.reasoning_type]}; {QUERY_TYPES[slot.query_type]}"
    line = f"search_{place}: {slot.style}; {wanted}; {needs}"
    return f"{line}; typed by {slot.persona}" if slot.persona else line


def require_known_labels(settings: GenerateSettings) -> None:
    """Refuse labels that the prompts do not explain.

    Raises:
        ConfigError: A style, query type or reasoning type is unknown.
    """
    known = {
        "styles": STYLES,
        "query_types": [name for name in QUERY_TYPES if name != MULTI_HOP],
        "reasoning_types": list(REASONING),
    }
    for key, labels in known.items():
        if unknown := sorted(set(getattr(settings, key)) - set(labels)):
            raise ConfigError(f"generate.{key} has unknown labels", got=unknown, expected=", ".join(labels))
