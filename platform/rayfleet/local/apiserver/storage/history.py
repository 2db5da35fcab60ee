"""What a change looks like to those who watch. Pure."""

from dataclasses import dataclass

import orjson

from rayfleet.model.json import Json, ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object as stored. ``object`` is shared: never change it, ``copy`` it."""

    object: ReadOnlyJson
    body: bytes
    version: int

    def copy(self) -> Json:
        """Return an object of one's own; parsing is the quickest deep copy."""
        own: Json = orjson.loads(self.body)
        return own

    @property
    def key(self) -> tuple[str, str]:
        """Return namespace and name."""
        meta = self.object["metadata"]
        return (meta.get("namespace", ""), meta["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write; ``before`` is None for a creation, ``after`` for a removal."""

    version: int
    before: Stored | None
    after: Stored | None

    @property
    def key(self) -> tuple[str, str]:
        """Return namespace and name of what changed."""
        some = self.after or self.before
        assert some is not None, "a change is of something"
        return some.key


class CompactedError(Exception):
    """The history does not reach back to the version asked for."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")
        self.oldest = oldest
