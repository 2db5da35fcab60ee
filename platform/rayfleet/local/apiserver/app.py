"""The aiohttp application: authentication, discovery, health, and the resources. Edge: HTTP."""

import asyncio
import hmac
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from rayfleet.local.apiserver.cluster import Cluster
from rayfleet.local.apiserver.grammar.refusal import Refusal, method_not_allowed, unknown_path
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.reads.watches import is_watch
from rayfleet.local.apiserver.serving import discovery
from rayfleet.local.apiserver.serving.openapi import EMPTY_V2_PROTOBUF, OPENAPI_V2_PROTOBUF
from rayfleet.local.apiserver.verbs.evictions import Evictions
from rayfleet.local.apiserver.verbs.objects import Objects
from rayfleet.local.apiserver.verbs.podlogs import PodLogs
from rayfleet.local.apiserver.verbs.subresources import Bindings, Scales
from rayfleet.local.apiserver.wire.answers import answer, as_yaml, json_answer, refused
from rayfleet.local.apiserver.wire.calls import MOST_BODY_BYTES, Call
from rayfleet.local.apiserver.wire.durations import check_timeout
from rayfleet.local.apiserver.wire.negotiation import aggregated_discovery_version, wants_yaml
from rayfleet.local.apiserver.wire.paths import ApiPath, parse_path

T = TypeVar("T")
log = logging.getLogger(__name__)
_NOT_OFFERED = frozenset({"attach", "ephemeralcontainers", "exec", "portforward", "proxy", "resize", "token"})
_SLASH = "{_:/?}"  # the official Python client asks for /version/
_OBJECT_PATHS = ("/api/", "/apis/")
_OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
_VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.3+rayfleet",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "python",
    "platform": "linux",
}
_DISCOVERY_KIND = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """What an application needs beside the cluster."""

    token: str
    pods_folder: Path | None = None


def build_app(cluster: Cluster, settings: AppSettings, stopping: asyncio.Event) -> web.Application:
    """Return the application; set ``stopping`` before its clean-up, so that watches end."""
    pages = _Pages(cluster, settings, stopping)
    middlewares = [_formats, _refusals, _authentication(settings.token), _timeouts]
    app = web.Application(middlewares=middlewares, client_max_size=MOST_BODY_BYTES)
    for path in ("/healthz", "/livez", "/readyz"):
        app.router.add_get(path + _SLASH, _healthy)
    app.router.add_get("/version" + _SLASH, _version)
    app.router.add_route("*", "/{path:.*}", pages.answer)
    app.on_shutdown.append(pages.end_watches)
    return app


class _Pages:
    """Finds who answers a request."""

    def __init__(self, cluster: Cluster, settings: AppSettings, stopping: asyncio.Event) -> None:
        self._cluster = cluster
        self._objects = Objects(cluster)
        self._scales = Scales(cluster)
        self._bindings = Bindings(cluster)
        self._evictions = Evictions(cluster)
        self._logs = PodLogs(cluster, settings.pods_folder, stopping)
        self._stopping = stopping

    async def end_watches(self, _app: web.Application) -> None:
        """End what would keep the server from stopping."""
        self._stopping.set()
        self._objects.end_watches()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request. Raises Refusal."""
        path = request.rel_url.raw_path.rstrip("/")
        if path in ("/api", "/apis"):
            return self._groups(request, is_core=path == "/api")
        if path.startswith("/openapi/"):
            return self._openapi(request, path)
        if path.startswith("/apis/") and path.count("/") == 2:
            return json_answer(_present(discovery.one_group(self._cluster.registry, path.removeprefix("/apis/"))))
        parsed = _present(parse_path(path))
        if not parsed.plural:
            _only_get(request)
            return json_answer(_present(discovery.resource_list(self._cluster.registry, parsed.group, parsed.version)))
        return await self._resource(request, parsed)

    def _openapi(self, request: web.Request, path: str) -> web.Response:
        if path == "/openapi/v2":
            return self._openapi_v2(request)
        if path == "/openapi/v3":
            return answer(self._cluster.openapi.index())
        return answer(_present(self._cluster.openapi.document(path.removeprefix("/openapi/v3/"))))

    def _openapi_v2(self, request: web.Request) -> web.Response:
        """Return the old document, in protobuf without definitions.

        Kubectl asks for it, in protobuf only, about kinds that the new ones do not have (List).
        """
        accept = request.headers.get("Accept", "")
        if OPENAPI_V2_PROTOBUF in accept:
            return web.Response(body=EMPTY_V2_PROTOBUF, headers={"Content-Type": OPENAPI_V2_PROTOBUF.replace("@", ".")})
        return answer(self._cluster.openapi.old_document())

    async def _resource(self, request: web.Request, path: ApiPath) -> web.StreamResponse:
        kind = self._cluster.registry.find(path.group, path.version, path.plural)
        is_outside = bool(path.namespace) is not kind.is_namespaced and not (kind.is_namespaced and path.is_collection)
        if is_outside:
            raise unknown_path()
        if path.subresource and path.subresource not in kind.subresources:
            raise _not_offered(kind, path) if path.subresource in _NOT_OFFERED else unknown_path()
        call = Call(request=request, kind=kind, path=path)
        match path.subresource:
            case "":
                return await (self._objects.collection(call) if path.is_collection else self._objects.single(call))
            case "scale":
                return await self._scales.answer(call)
            case "binding":
                return await self._bindings.answer(call)
            case "eviction":
                return await self._evictions.answer(call)
            case "log":
                return await self._logs.answer(call)
            case _:
                return await self._objects.part(call)

    def _groups(self, request: web.Request, *, is_core: bool) -> web.Response:
        _only_get(request)
        version = aggregated_discovery_version(request.headers.get("Accept", ""))
        if version:
            body = discovery.aggregated(self._cluster.registry, version, is_core=is_core)
            return web.Response(body=orjson.dumps(body), headers={"Content-Type": _DISCOVERY_KIND.format(version)})
        if is_core:
            return json_answer(discovery.core_versions(request.host))
        return json_answer(discovery.group_list(self._cluster.registry))


def _not_offered(kind: Kind, path: ApiPath) -> Refusal:
    """Return the answer for what a real server has and this one has not.

    A user should not search for a typing error.
    """
    message = f"{kind.plural}/{path.subresource} is not offered by rayfleet's embedded API server"
    return Refusal(404, "NotFound", message, details={"kind": kind.plural, "name": path.name})


def _present(value: T | None) -> T:
    if value is None:
        raise Refusal(404, "NotFound", "404 page not found", details={})
    return value


@web.middleware
async def _formats(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write answers as YAML for those who like that best; what is streamed stays as it is."""
    response = await handler(request)
    if request.path.startswith(_OBJECT_PATHS) and wants_yaml(request.headers.get("Accept", "")):
        return as_yaml(response)
    return response


@web.middleware
async def _timeouts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a timeout that is none; a watch may last for ever, and its timeout is another."""
    if not is_watch(request.query):
        check_timeout(request.query)
    return await handler(request)


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals and failures into Status objects."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return refused(refusal)
    except web.HTTPException as error:
        return refused(Refusal(error.status, "NotFound" if error.status == 404 else "", error.reason))
    except Exception as error:
        log.exception("request failed", extra={"method": request.method, "path": request.path})
        return refused(Refusal(500, "InternalError", f"Internal error occurred: {error}"))


def _authentication(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if request.path.rstrip("/") not in _OPEN_PATHS and not hmac.compare_digest(given, expected):
            raise Refusal(401, "Unauthorized", "Unauthorized")
        return await handler(request)

    return authenticated


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _version(_request: web.Request) -> web.Response:
    return json_answer(_VERSION)


def _only_get(request: web.Request) -> None:
    if request.method != "GET":
        raise method_not_allowed()
