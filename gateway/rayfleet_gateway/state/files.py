"""The route table from plain YAML files, read again when they change: no API server is needed.

The files hold the same objects as an API server: HTTPRoutes, Services, EndpointSlices, and if need be Gateways and
ReferenceGrants; an object without a namespace lies in ``default``. Files that cannot be read as a whole change nothing:
the last good table stays, and the log names file, line and field. A kind that is not known here is such a fault, for it
would be left out without a word. Files are looked at once a second: cheap, and right on every file system.
"""

import asyncio
import contextlib
import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import orjson

from rayfleet.manifest.documents import Document, load_documents
from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import kind_of
from rayfleet.objects.parts import is_identical
from rayfleet_gateway.model.errors import Unusable
from rayfleet_gateway.route.compiling import KINDS, RouteCompiler
from rayfleet_gateway.route.fields import Field
from rayfleet_gateway.route.one_route import any_profile
from rayfleet_gateway.route.problems import Problem
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.state.tables import Effort, Pace

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_PUTS_AT_ONCE = 50
_DEFAULT_NAMESPACE = "default"
_SUFFIXES = (".yaml", ".yml", ".json")
_MOST_BYTES = 64 << 20  # of a file; more is a mistake of whoever wrote it
_BY_KIND = {(resource.group, resource.kind): resource for resource in KINDS}

Documents = dict[tuple[ResourceType, ObjectKey], Document]


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the manifests at a path, sorted: itself, or those that lie in it. Raises OSError."""
    if not path.is_dir():
        return (path,)
    return tuple(sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES and each.is_file()))


def read_files(path: Path) -> Documents:
    """Return every object of the files by kind and key. Raises ManifestError naming file, line and field; OSError."""
    objects: dict[tuple[ResourceType, ObjectKey], Document] = {}
    for file in files_of(path):
        if file.stat().st_size > _MOST_BYTES:
            raise ManifestError(str(file), [FieldError(path="text", message=f"is larger than {_MOST_BYTES} bytes")])
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ManifestError(str(file), [FieldError(path="text", message=f"is no UTF-8: {error.reason}")]) from error
        for document in load_documents(text, str(file)):
            place = _placed(document)
            if place in objects:
                other = objects[place]
                _refuse(document, "metadata.name", f"the same object stands at {other.source}:{other.line}")
            objects[place] = document
    return objects


class FileTables:
    """``table`` is the newest whole table. ``only`` and ``profile_fault``: see ``RouteCompiler``."""

    def __init__(
        self, path: Path, only: ObjectKey | None = None, profile_fault: Callable[[str], str] = any_profile
    ) -> None:
        self.table = RouteTable()
        self.is_synced = False
        self.is_stale = False
        self.effort = Effort()
        self._path = path
        self._compiler = RouteCompiler(only, profile_fault)
        self._documents: Documents = {}
        self._seen: object = None
        self._problems: frozenset[Problem] = frozenset()

    def problem_reasons(self) -> Mapping[str, int]:
        """Return how many problems there are now, by their reason."""
        return Counter(problem.reason for problem in self._problems)

    async def run(
        self, on_table: Callable[[RouteTable], None], on_part: Callable[[RouteTable], None] = lambda _: None
    ) -> None:
        """Read the files now and whenever they change, until cancelled; see ``TableSource``."""

        def take(table: RouteTable) -> None:
            self.table = table
            on_table(table)

        pace = Pace(self._compiler, take, lambda _: None, self.effort, on_part)
        while True:
            if await asyncio.to_thread(self._has_changed):
                await self._load(pace)
            await asyncio.sleep(LOOK_SECONDS)

    async def _load(self, pace: Pace) -> None:
        """Take over what the files say; a file that cannot be read is logged and changes nothing."""
        try:
            with _no_collection():
                documents = await asyncio.to_thread(read_files, self._path)
        except (ManifestError, OSError) as error:
            log.error("the files cannot be used, the last good ones stay", extra={"error": str(error)})
            return
        changes = await asyncio.to_thread(_differences, self._documents, documents)
        for number, (place, raw) in enumerate(changes):
            self._compiler.put(*place, raw)
            if not number % _PUTS_AT_ONCE:
                await asyncio.sleep(0)
        old, self._documents = self._documents, documents
        await asyncio.to_thread(_let_go, old)
        await pace.work(is_whole=True)
        self.is_synced = True
        self._log_problems()
        log.info("routes read", extra={"path": str(self._path), "models": len(self.table.models)})

    def _has_changed(self) -> bool:
        """Whether the files are others than at the last look; what cannot be looked at counts as a change once."""
        try:
            stats = [(str(file), file.stat()) for file in files_of(self._path)]
            # Of a change of rights alone only the last tells: what could not be read may be readable then.
            seen: object = [
                (name, stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_ctime_ns) for name, stat in stats
            ]
        except OSError as error:
            seen = str(error)
        if seen == self._seen:
            return False
        self._seen = seen
        return True

    def _log_problems(self) -> None:
        """Log what is new of what cannot be used, with the line where it stands."""
        problems = frozenset(self._compiler.problems())
        for problem in sorted(problems - self._problems):
            resource = next(each for each in KINDS if each.kind == problem.kind)
            key = ObjectKey(namespace=problem.namespace, name=problem.name)
            document = self._documents[resource, key]
            place = f"{document.source}:{document.line_of(problem.field)}"
            log.warning("cannot use an object as it is", extra={"problem": str(problem), "place": place})
        self._problems = problems


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Let nobody look for cycles in millions of new objects: it would hold up every stream for a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _let_go(documents: Documents) -> None:
    """Free them one by one: all in one go is one long step."""
    while documents:
        documents.popitem()


def _differences(old: Documents, new: Documents) -> list[tuple[tuple[ResourceType, ObjectKey], Json | None]]:
    """Return what to tell a compiler that knows the old ones: objects, None for those that are gone."""
    gone: list[tuple[tuple[ResourceType, ObjectKey], Json | None]] = [
        (place, None) for place in old.keys() - new.keys()
    ]
    changed = [
        (place, document.raw)
        for place, document in new.items()
        if place not in old or not is_identical(old[place].raw, document.raw)
    ]
    return [*gone, *changed]


def _placed(document: Document) -> tuple[ResourceType, ObjectKey]:
    """Return kind and key of an object, whose namespace is written into it. Raises ManifestError."""
    raw = document.raw
    version = str(raw["apiVersion"])
    resource = _BY_KIND.get((version.rpartition("/")[0], kind_of(raw)))
    if resource is None:
        known = ", ".join(sorted(each.kind for each in KINDS))
        _refuse(document, "kind", f"{version} {kind_of(raw)} is none of {known}")
    meta = Field(raw, "").at("metadata")
    try:
        key = ObjectKey(name=meta.at("name").text(), namespace=meta.at("namespace").text("") or _DEFAULT_NAMESPACE)
    except Unusable as error:
        _refuse(document, error.field, error.message)
    try:
        orjson.dumps(raw)
    except TypeError as error:  # what YAML can say and JSON cannot: bytes, sets, a part within itself
        _refuse(document, "metadata.name", f"is no JSON: {error}")
    meta.mapping()["namespace"] = key.namespace
    return resource, key


def _refuse(document: Document, field: str, message: str) -> NoReturn:
    source = f"{document.source}:{document.line_of(field)}"
    raise ManifestError(source, [FieldError(path=field, message=message)])
