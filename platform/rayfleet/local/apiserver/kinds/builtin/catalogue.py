"""The table of built-in kinds. Pure."""

from collections.abc import Callable, Iterable, Mapping

from rayfleet.local.apiserver.grammar.names import (
    label_name_problem,
    subdomain_problem,
)
from rayfleet.local.apiserver.kinds.builtin import others, pods
from rayfleet.local.apiserver.kinds.builtin.fields import BuiltinFields
from rayfleet.local.apiserver.kinds.builtin.printers import printers
from rayfleet.local.apiserver.kinds.builtin.services import ClusterAddresses, default_service
from rayfleet.local.apiserver.kinds.custom.definition import DEFINITION_RULES, default_definition
from rayfleet.local.apiserver.kinds.kind import ALL_VERBS, Kind, Rules
from rayfleet.local.apiserver.kinds.schemas import Schemas
from rayfleet.model.meta import JsonObject

_STATUS = ("get", "patch", "update")
_WITHOUT_COLLECTION = ("create", "delete", "get", "list", "patch", "update", "watch")


def builtin_kinds(schemas: Schemas, service_addresses: Callable[[], Iterable[str]]) -> tuple[Kind, ...]:
    """Return all built-in kinds; ``service_addresses`` gives the cluster addresses in use."""
    make = _Maker(schemas)
    addresses = ClusterAddresses(used=service_addresses)
    return (
        make(
            "",
            "configmaps",
            "ConfigMap",
            Rules(problems=others.config_map_problems, name_problem=subdomain_problem),
            short=("cm",),
        ),
        make(
            "",
            "events",
            "Event",
            Rules(problems=others.event_problems, name_problem=subdomain_problem, creates_on_update=True),
            defaults=others.default_event,
            short=("ev",),
            fields=_event_fields(),
        ),
        make(
            "",
            "namespaces",
            "Namespace",
            Rules(
                prepare=others.prepare_namespace,
                name_problem=label_name_problem,
                returns_deleted=True,
            ),
            defaults=others.default_namespace,
            short=("ns",),
            is_namespaced=False,
            verbs=_WITHOUT_COLLECTION,
            subresources={"finalize": ("update",), "status": _STATUS},
            fields={"status.phase": _reader("status", "phase"), "name": _reader("metadata", "name")},
        ),
        make(
            "",
            "nodes",
            "Node",
            Rules(prepare=others.prepare_node, name_problem=subdomain_problem),
            defaults=others.default_node,
            short=("no",),
            is_namespaced=False,
            subresources={"status": _STATUS},
            fields={"spec.unschedulable": lambda node: str(bool(node["spec"].get("unschedulable"))).lower()},
        ),
        make(
            "",
            "pods",
            "Pod",
            Rules(
                prepare=pods.prepare_pod,
                problems=pods.pod_problems,
                name_problem=subdomain_problem,
                grace_seconds=pods.pod_grace_seconds,
                returns_deleted=True,
                has_generation=True,
            ),
            defaults=pods.default_pod,
            short=("po",),
            categories=("all",),
            subresources={"binding": ("create",), "log": ("get",), "status": _STATUS},
            fields=_pod_fields(),
        ),
        make(
            "",
            "secrets",
            "Secret",
            Rules(problems=others.secret_problems, name_problem=subdomain_problem),
            defaults=others.default_secret,
            fields={"type": _reader("type")},
        ),
        make(
            "",
            "serviceaccounts",
            "ServiceAccount",
            Rules(name_problem=subdomain_problem, returns_deleted=True),
            short=("sa",),
        ),
        make(
            "",
            "services",
            "Service",
            Rules(
                prepare=addresses.prepare,
                problems=addresses.problems,
                name_problem=label_name_problem,
                returns_deleted=True,
                creates_on_update=True,
            ),
            defaults=default_service,
            short=("svc",),
            categories=("all",),
            subresources={"status": _STATUS},
            fields={"spec.clusterIP": _reader("spec", "clusterIP"), "spec.type": _reader("spec", "type")},
        ),
        make(
            "coordination.k8s.io",
            "leases",
            "Lease",
            Rules(
                problems=others.lease_problems,
                name_problem=subdomain_problem,
                takes_update_without_version=False,
                creates_on_update=True,
            ),
            defaults=others.default_lease,
        ),
        make(
            "discovery.k8s.io",
            "endpointslices",
            "EndpointSlice",
            Rules(problems=others.endpoint_slice_problems, name_problem=subdomain_problem, has_generation=True),
            defaults=others.default_endpoint_slice,
        ),
        make(
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            DEFINITION_RULES,
            defaults=default_definition,
            short=("crd", "crds"),
            categories=("api-extensions",),
            is_namespaced=False,
            subresources={"status": _STATUS},
        ),
    )


class _Maker:
    """Makes kinds of version v1."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._printers = printers()

    def __call__(  # noqa: PLR0913 - one row of a table; all but the first four by name
        self,
        group: str,
        plural: str,
        kind: str,
        rules: Rules,
        *,
        defaults: Callable[[JsonObject], None] = others.default_nothing,
        short: tuple[str, ...] = (),
        categories: tuple[str, ...] = (),
        is_namespaced: bool = True,
        verbs: tuple[str, ...] = ALL_VERBS,
        subresources: Mapping[str, tuple[str, ...]] | None = None,
        fields: Mapping[str, Callable[[JsonObject], str]] | None = None,
    ) -> Kind:
        name = self._schemas.name_of(group, "v1", kind)
        return Kind(
            group=group,
            version="v1",
            plural=plural,
            singular=kind.lower(),
            kind=kind,
            list_kind=f"{kind}List",
            is_namespaced=is_namespaced,
            fields=BuiltinFields(self._schemas, name, defaults),
            printer=self._printers[kind],
            rules=rules,
            short_names=short,
            categories=categories,
            subresources=subresources or {},
            field_labels=fields or {},
            verbs=verbs,
        )


def _reader(*path: str) -> Callable[[JsonObject], str]:
    def read(manifest: JsonObject) -> str:
        found: object = manifest
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        return "" if found is None else str(found)

    return read


def _pod_fields() -> Mapping[str, Callable[[JsonObject], str]]:
    readers = {
        f"spec.{name}": _reader("spec", name)
        for name in ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName")
    }
    readers["spec.hostNetwork"] = lambda pod: str(bool(pod["spec"].get("hostNetwork"))).lower()
    return readers | {f"status.{name}": _reader("status", name) for name in ("phase", "podIP", "nominatedNodeName")}


def _event_fields() -> Mapping[str, Callable[[JsonObject], str]]:
    about = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    return {
        **{f"involvedObject.{name}": _reader("involvedObject", name) for name in about},
        "reason": _reader("reason"),
        "reportingComponent": _reader("reportingComponent"),
        "source": _reader("source", "component"),
        "type": _reader("type"),
    }
