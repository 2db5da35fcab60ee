"""Foreign JSON read field by field: what has the wrong type, or is not known here, raises with its path. Pure.

A route is refused aloud rather than used for more than it says, so a field that nobody reads is an error too.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from rayfleet.objects.parts import INT32_MAX
from rayfleet_gateway.model.errors import Unusable


@dataclass(frozen=True, slots=True)
class Field:
    """A value and where it stands. All methods raise Unusable."""

    value: Any
    path: str

    @property
    def is_set(self) -> bool:
        """Whether there is a value; null is none."""
        return self.value is not None

    def at(self, name: str) -> "Field":
        """Return the field ``name`` of a mapping."""
        return Field(self.mapping().get(name), f"{self.path}.{name}" if self.path else name)

    def mapping(self) -> dict[str, Any]:
        """Return the mapping, an empty one when nothing is set."""
        if self.value is None:
            return {}
        return self.value if isinstance(self.value, dict) else self.refuse(f"{self.value!r:.80} is no object")

    def only(self, names: Collection[str]) -> "Field":
        """Return the field itself, a mapping with no other fields than these."""
        for name in self.mapping():
            if name not in names:
                self.at(name).refuse("is not supported")
        return self

    def items(self, most: int) -> Iterator["Field"]:
        """Yield the entries of a list of at most ``most``, none when nothing is set."""
        if self.value is None:
            return
        if not isinstance(self.value, list):
            self.refuse(f"{self.value!r:.80} is no list")
        if len(self.value) > most:
            self.refuse(f"has {len(self.value)} entries: at most {most} are allowed")
        for place, entry in enumerate(self.value):
            yield Field(entry, f"{self.path}[{place}]")

    def text(self, otherwise: str | None = None) -> str:
        """Return the text, ``otherwise`` when nothing is set (None: it must be)."""
        if self.value is None and otherwise is not None:
            return otherwise
        return self.value if isinstance(self.value, str) else self.refuse(f"{self.value!r:.80} is no text")

    def choice(self, names: Collection[str], otherwise: str | None = None) -> str:
        """Return the text, one of ``names``."""
        text = self.text(otherwise)
        return text if text in names else self.refuse(f"{text!r:.80} is not supported")

    def number(self, *, least: int = 0, most: int = INT32_MAX, otherwise: int | None = None) -> int:
        """Return the whole number between the bounds, ``otherwise`` when nothing is set (None: it must be)."""
        value = otherwise if self.value is None else self.value
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(f"{self.value!r:.80} is no whole number")
        return value if least <= value <= most else self.refuse(f"{value} is not between {least} and {most}")

    def refuse(self, message: str, reason: str = "UnsupportedValue") -> NoReturn:
        """Raise Unusable for this field."""
        raise Unusable(self.path, message, reason)
