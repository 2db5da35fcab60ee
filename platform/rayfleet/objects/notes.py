"""JSON that we keep in annotations, read back: anybody may have written there since. Pure."""

import json

from rayfleet.model.json import Json
from rayfleet.objects.parts import mapping


def read_note(text: str) -> Json:
    """Return what an annotation keeps, empty when that is no mapping, or no text that can be written again."""
    try:
        note = mapping(json.loads(text))
        json.dumps(note, ensure_ascii=False).encode()  # half a surrogate pair can be read and not be sent
    except (ValueError, RecursionError):
        return {}
    return note
