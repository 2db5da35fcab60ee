"""The forms that our schemas are made of: texts, counts, objects, maps. Pure.

Structural schemas of ``apiextensions.k8s.io/v1``; every part says what it is for, as ``kubectl explain`` shows it.
"""

from rayfleet.model.json import Json, ReadOnlyJson

INT32_MAX = 2**31 - 1
LABEL_LETTERS = 63


def text(description: str, **rules: object) -> Json:
    """Return a text."""
    return {"type": "string", "description": description, **rules}


def count(description: str, **rules: object) -> Json:
    """Return a 32-bit whole number from 0."""
    return {
        "type": "integer",
        "format": "int32",
        "minimum": 0,
        "maximum": INT32_MAX,
        "description": description,
        **rules,
    }


def object_of(description: str, properties: ReadOnlyJson, **rules: object) -> Json:
    """Return an object with these properties."""
    return {"type": "object", "description": description, "properties": properties, **rules}


def labels(description: str) -> Json:
    """Return a bounded map of label values."""
    return {
        "type": "object",
        "description": description,
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": LABEL_LETTERS},
    }


def text_map(description: str) -> Json:
    """Return a map of texts."""
    return {"type": "object", "description": description, "additionalProperties": {"type": "string"}}


def int_or_text(description: str, pattern: str) -> Json:
    """Return a number or a text of that pattern."""
    return {"x-kubernetes-int-or-string": True, "minimum": 0, "pattern": pattern, "description": description}
