"""The objects of the last table, kept on disk: what serves when a gateway starts while the API server is away.

Raw objects and not the table: how they are read may be different in the next version. One JSON text a line, kind and
object; a file is replaced whole (written beside, renamed) and one that cannot be read counts as none. All of it runs in
a thread, object by object, so that the loop gets its turns.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import orjson

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import key_of
from rayfleet_gateway.route.compiling import KINDS

log = logging.getLogger(__name__)

_NAME = "last-table.jsonl"
_BY_KIND = {resource.kind: resource for resource in KINDS}


def write_last_table(folder: Path, objects: Iterable[tuple[ResourceType, ReadOnlyJson]]) -> None:
    """Write the objects; a folder or disk that does not take them is logged, since nobody waits for it."""
    beside = folder / f"{_NAME}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            for resource, raw in objects:
                file.write(orjson.dumps((resource.kind, raw), option=orjson.OPT_APPEND_NEWLINE))
        beside.replace(folder / _NAME)
    except OSError as error:
        log.warning("the last table cannot be kept", extra={"folder": str(folder), "error": str(error)})
        with suppress(OSError):
            beside.unlink()


def read_last_table(folder: Path) -> Sequence[tuple[ResourceType, Json]] | None:
    """Return the objects that were written last, None when there are none that can be read."""
    path = folder / _NAME
    try:
        lines = path.read_bytes().splitlines()
        return [_decoded(line) for line in lines]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("the last table cannot be read", extra={"file": str(path), "error": str(error)})
        return None


def _decoded(line: bytes) -> tuple[ResourceType, Json]:
    kind, raw = orjson.loads(line)
    key_of(raw)
    return _BY_KIND[kind], raw
