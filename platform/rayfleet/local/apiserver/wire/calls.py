"""One request, taken apart: its kind, its query as options, its body. Edge: reading the body."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from aiohttp import web

from rayfleet.local.apiserver.grammar.refusal import (
    Cause,
    Refusal,
    bad_request,
    forbidden_field,
    invalid,
    invalid_object,
    required,
    too_long,
    unsupported,
)
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.storage.storage import Key
from rayfleet.local.apiserver.wire.bodies import decode_body
from rayfleet.local.apiserver.wire.paths import ApiPath
from rayfleet.local.apiserver.wire.protobuf import PROTOBUF, decode_protobuf
from rayfleet.local.apiserver.writes.writing import FieldValidation, WriteOptions
from rayfleet.model.json import Json, ReadOnlyJson

MOST_BODY_BYTES = 3 << 20  # as the API server's
_LONGEST_MANAGER = 128  # bytes
_TRUE = ("1", "t", "T", "TRUE", "True", "true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request for a kind or one of its objects."""

    request: web.Request
    kind: Kind
    path: ApiPath

    @property
    def query(self) -> Mapping[str, str]:
        """Return the query; of a repeated name the first value."""
        return self.request.query

    @property
    def accept(self) -> str:
        """Return the Accept header."""
        return self.request.headers.get("Accept", "")

    @property
    def content_type(self) -> str:
        """Return the body's media type, without parameters."""
        return self.request.headers.get("Content-Type", "").split(";")[0].strip().lower()

    @property
    def key(self) -> Key:
        """Return the key of the object that the path names."""
        return (self.path.namespace if self.kind.is_namespaced else "", self.path.name)

    async def body(self) -> bytes:
        """Return the body. Raises Refusal (413)."""
        try:
            return await self.request.read()
        except web.HTTPRequestEntityTooLarge as error:
            message = f"Request entity too large: limit is {MOST_BODY_BYTES}"
            raise Refusal(413, "RequestEntityTooLarge", message) from error

    async def manifest(self) -> tuple[Json, WriteOptions]:
        """Return the object of the body and the options of its write. Raises Refusal: 400, 413, 415, 422."""
        if self.content_type == PROTOBUF:
            return decode_protobuf(await self.body()), self.write_options([])
        body = decode_body(self.content_type, await self.body(), self.kind.kind)
        check_metadata(body.object, self.kind.kind)
        return body.object, self.write_options(body.duplicates)

    def write_options(self, duplicates: list[str], *, is_apply: bool = False) -> WriteOptions:
        """Return what the request asks of a write, and who writes. Raises Refusal (422)."""
        options = write_options(self.query, duplicates, is_apply=is_apply)
        manager = options.manager or manager_of(self.request.headers.get("User-Agent", ""))
        return replace(options, manager=manager, subresource=self.path.subresource)

    async def beside(self, kind: str) -> Json:
        """Return the body of a request that brings no object of the path's kind but one of ``kind``.

        Empty when there is none. Raises Refusal: 400, 413, 415.
        """
        body = await self.body()
        if not body:
            return {}
        if self.content_type == PROTOBUF:
            return decode_protobuf(body)
        return decode_body(self.content_type, body, kind).object


def write_options(query: Mapping[str, str], duplicates: list[str], *, is_apply: bool = False) -> WriteOptions:
    """Return what the query asks of a write. Raises Refusal (422). Pure."""
    causes = []
    if (dry := query.get("dryRun", "")) not in ("", "All"):
        causes.append(unsupported("dryRun", dry, ("All",)))
    name = query.get("fieldValidation", "") or "Warn"
    if name not in ("Ignore", "Strict", "Warn"):
        causes.append(unsupported("fieldValidation", name, ("", "Ignore", "Strict", "Warn")))
    causes += _manager_problems(query, is_apply=is_apply)
    if causes:
        kind = "PatchOptions" if is_apply or "force" in query else "UpdateOptions"
        raise invalid_object("meta.k8s.io", kind, "", causes)
    return WriteOptions(
        is_dry_run=bool(dry),
        validation=FieldValidation(name),
        duplicates=duplicates,
        manager=query.get("fieldManager", ""),
        is_forced=query.get("force", "") in _TRUE,
    )


def manager_of(user_agent: str) -> str:
    """Return the name of a manager that states none: its program, as ``kubectl`` of ``kubectl/v1.37``. Pure."""
    name = "".join(letter for letter in user_agent.partition("/")[0] if letter.isprintable())
    return name.encode()[:_LONGEST_MANAGER].decode(errors="ignore") or "unknown"


def _manager_problems(query: Mapping[str, str], *, is_apply: bool) -> Iterator[Cause]:
    manager = query.get("fieldManager", "")
    if is_apply and not manager:
        yield required("fieldManager", "is required for apply patch")
    if not is_apply and query.get("force"):
        yield forbidden_field("force", "may not be specified for non-apply patch")
    if len(manager.encode()) > _LONGEST_MANAGER:
        yield too_long("fieldManager", _LONGEST_MANAGER)
    if not manager.isprintable():
        yield invalid("fieldManager", manager, "should only contain printable characters")


def check_metadata(manifest: ReadOnlyJson, kind: str) -> None:
    """Raise Refusal (400) when metadata is no object. Pure."""
    if not isinstance(manifest.get("metadata") or {}, dict):
        raise bad_request(f"{kind} cannot be handled as a {kind}: json: cannot unmarshal metadata into an object")
