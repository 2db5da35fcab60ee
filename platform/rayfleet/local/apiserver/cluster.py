"""The server without HTTP: everything wired, namespaces that every cluster has. Edge: the storage."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rayfleet.local.apiserver.grammar.refusal import forbidden
from rayfleet.local.apiserver.kinds.builtin.catalogue import builtin_kinds
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.kinds.metadata_fields import MetadataFields
from rayfleet.local.apiserver.kinds.schemas import Schemas, load_schemas
from rayfleet.local.apiserver.serving.establishing import Definitions
from rayfleet.local.apiserver.serving.openapi import OpenApi
from rayfleet.local.apiserver.serving.registry import Registry
from rayfleet.local.apiserver.storage.storage import DEFAULT_WINDOW, Storage
from rayfleet.local.apiserver.writes.configurations import Shapes
from rayfleet.local.apiserver.writes.deletion import Deleter
from rayfleet.local.apiserver.writes.writing import NAMESPACES, WriteOptions, Writer
from rayfleet.model.json import Json

_OWN_ADDRESS = "10.96.0.1"  # the first of the range that Services have
_OWN = WriteOptions(manager="kube-apiserver")
_INITIAL_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system", "rayfleet-system")


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One cluster's objects and what may be done with them."""

    storage: Storage
    schemas: Schemas
    registry: Registry
    writer: Writer
    deleter: Deleter
    definitions: Definitions
    openapi: OpenApi
    now: Callable[[], datetime]

    def close(self) -> None:
        """Close the storage."""
        self.storage.close()

    def check_served(self, kind: Kind, name: str) -> None:
        """Raise Refusal (403) for a new object whose definition is being deleted."""
        if self.definitions.is_terminating(kind):
            why = "create not allowed while custom resource definition is terminating"
            raise forbidden(kind.group, kind.plural, name, why)


def open_cluster(path: Path, *, window: int = DEFAULT_WINDOW, now: Callable[[], datetime] = utc_now) -> Cluster:
    """Open the cluster in the file ``path``, made when absent. Raises sqlite3.Error."""
    storage = Storage(path, window=window)
    schemas = load_schemas()

    def service_addresses() -> list[str]:
        services = storage.items("/services")
        return [each.object["spec"].get("clusterIP") or "" for each in services]

    registry = Registry(builtin_kinds(schemas, service_addresses))
    definitions = Definitions(storage=storage, registry=registry, metadata=MetadataFields(schemas), now=now)
    writer = Writer(storage=storage, now=now, aftermath=definitions, shapes=Shapes(schemas))
    deleter = Deleter(storage=storage, writer=writer, now=now)
    definitions.load()
    cluster = Cluster(
        storage=storage,
        schemas=schemas,
        registry=registry,
        writer=writer,
        deleter=deleter,
        definitions=definitions,
        openapi=OpenApi(registry, schemas),
        now=now,
    )
    _make_namespaces(cluster)
    return cluster


def announce(cluster: Cluster, address: str, port: int) -> None:
    """Make or renew the Service ``default/kubernetes`` and its endpoints: where pods find this server."""
    ports = [{"name": "https", "protocol": "TCP", "port": port}]
    own = {"component": "apiserver", "provider": "kubernetes"}
    spec = {"clusterIP": _OWN_ADDRESS, "ports": [{**ports[0], "port": 443, "targetPort": port}]}
    _put(cluster, ("", "v1", "services"), {"metadata": {"name": "kubernetes", "labels": own}, "spec": spec})
    slice_ = {
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    _put(cluster, ("discovery.k8s.io", "v1", "endpointslices"), slice_)


def _put(cluster: Cluster, resource: tuple[str, str, str], manifest: Json) -> None:
    kind = cluster.registry.find(*resource)
    key = ("default", "kubernetes")
    if cluster.storage.get(kind.storage_name, key) is None:
        cluster.writer.create(kind, key[0], manifest, _OWN)
    else:
        cluster.writer.replace(kind, key, manifest, _OWN)


def _make_namespaces(cluster: Cluster) -> None:
    kind = cluster.registry.find("", "v1", "namespaces")
    for name in _INITIAL_NAMESPACES:
        if cluster.storage.get(NAMESPACES, ("", name)) is None:
            cluster.writer.create(kind, "", {"metadata": {"name": name}}, _OWN)
