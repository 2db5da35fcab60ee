"""The table of built-in kinds. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rayfleet.local.apiserver.grammar.names import label_name_problem, subdomain_problem
from rayfleet.local.apiserver.kinds.builtin import budgets, others, pods, reviews
from rayfleet.local.apiserver.kinds.builtin.fields import BuiltinFields
from rayfleet.local.apiserver.kinds.builtin.printers import printers
from rayfleet.local.apiserver.kinds.builtin.services import ClusterAddresses, default_service
from rayfleet.local.apiserver.kinds.custom.definition import DEFINITION_RULES, default_definition
from rayfleet.local.apiserver.kinds.field_labels import (
    NAME,
    NAME_AND_NAMESPACE,
    FieldReader,
    field_reader,
    fields_at,
    flag_reader,
)
from rayfleet.local.apiserver.kinds.kind import ALL_VERBS, Kind, Printer, Review, Rules
from rayfleet.local.apiserver.kinds.schemas import Schemas
from rayfleet.model.json import Json

_STATUS = ("get", "patch", "update")
_WITHOUT_COLLECTION = ("create", "delete", "get", "list", "patch", "update", "watch")


def builtin_kinds(schemas: Schemas, service_addresses: Callable[[], Iterable[str]]) -> tuple[Kind, ...]:
    """Return all built-in kinds; ``service_addresses`` gives the cluster addresses in use."""
    addresses = ClusterAddresses(used=service_addresses)
    known_printers = printers()
    rows = (*_CORE, _services(addresses), *_GROUPS, *_REVIEWS)
    return tuple(_kind(row, schemas, known_printers[row.kind]) for row in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One kind of version v1: what is not the same for all."""

    group: str = ""
    plural: str
    kind: str
    rules: Rules
    defaults: Callable[[Json], None] = others.default_nothing
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    is_namespaced: bool = True
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    field_labels: Mapping[str, FieldReader] | None = None
    review: Review | None = None
    storage_version: str = ""


def _kind(row: _Row, schemas: Schemas, printer: Printer) -> Kind:
    return Kind(
        group=row.group,
        version="v1",
        plural=row.plural,
        singular=row.kind.lower(),
        kind=row.kind,
        list_kind=f"{row.kind}List",
        is_namespaced=row.is_namespaced,
        fields=BuiltinFields(schemas, schemas.name_of(row.group, "v1", row.kind), row.defaults),
        printer=printer,
        rules=row.rules,
        short_names=row.short_names,
        categories=row.categories,
        subresources=row.subresources,
        field_labels=row.field_labels,
        verbs=row.verbs,
        review=row.review,
        storage_version=row.storage_version,
    )


_CORE = (
    _Row(
        plural="configmaps",
        kind="ConfigMap",
        rules=Rules(problems=others.config_map_problems, name_problem=subdomain_problem),
        short_names=("cm",),
    ),
    _Row(
        plural="events",
        kind="Event",
        rules=Rules(problems=others.event_problems, name_problem=subdomain_problem, creates_on_update=True),
        defaults=others.default_event,
        short_names=("ev",),
        field_labels={
            **NAME_AND_NAMESPACE,
            **fields_at("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid"),
            **fields_at("involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath"),
            **fields_at("reason", "reportingComponent", "type"),
            "source": others.event_source,
        },
    ),
    _Row(
        plural="namespaces",
        kind="Namespace",
        rules=Rules(
            prepare=others.prepare_namespace,
            name_problem=label_name_problem,
            on_delete=others.marked_namespace,
            is_held=others.is_namespace_held,
            returns_deleted=True,
        ),
        defaults=others.default_namespace,
        short_names=("ns",),
        is_namespaced=False,
        verbs=_WITHOUT_COLLECTION,
        subresources={"finalize": ("update",), "status": _STATUS},
        field_labels={**NAME, **fields_at("status.phase")},
    ),
    _Row(
        plural="nodes",
        kind="Node",
        rules=Rules(prepare=others.prepare_node, name_problem=subdomain_problem),
        defaults=others.default_node,
        short_names=("no",),
        is_namespaced=False,
        subresources={"status": _STATUS},
        field_labels={**NAME, "spec.unschedulable": flag_reader("spec.unschedulable")},
    ),
    _Row(
        plural="pods",
        kind="Pod",
        rules=Rules(
            prepare=pods.prepare_pod,
            problems=pods.pod_problems,
            name_problem=subdomain_problem,
            grace_seconds=pods.pod_grace_seconds,
            returns_deleted=True,
            has_generation=True,
        ),
        defaults=pods.default_pod,
        short_names=("po",),
        categories=("all",),
        subresources={"binding": ("create",), "eviction": ("create",), "log": ("get",), "status": _STATUS},
        field_labels={
            **NAME_AND_NAMESPACE,
            **fields_at("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
            **fields_at("status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
            "spec.hostNetwork": flag_reader("spec.hostNetwork"),
            "spec.host": field_reader("spec.nodeName"),  # its name of old
        },
    ),
    _Row(
        plural="secrets",
        kind="Secret",
        rules=Rules(problems=others.secret_problems, name_problem=subdomain_problem),
        defaults=others.default_secret,
        field_labels={**NAME_AND_NAMESPACE, **fields_at("type")},
    ),
    _Row(
        plural="serviceaccounts",
        kind="ServiceAccount",
        rules=Rules(name_problem=subdomain_problem, returns_deleted=True),
        short_names=("sa",),
    ),
)


def _services(addresses: ClusterAddresses) -> _Row:
    return _Row(
        plural="services",
        kind="Service",
        rules=Rules(
            prepare=addresses.prepare,
            problems=addresses.problems,
            name_problem=label_name_problem,
            returns_deleted=True,
            creates_on_update=True,
        ),
        defaults=default_service,
        short_names=("svc",),
        categories=("all",),
        subresources={"status": _STATUS},
        field_labels={**NAME_AND_NAMESPACE, **fields_at("spec.clusterIP", "spec.type")},
    )


_GROUPS = (
    _Row(
        group="coordination.k8s.io",
        plural="leases",
        kind="Lease",
        rules=Rules(
            problems=others.lease_problems,
            name_problem=subdomain_problem,
            takes_update_without_version=False,
            creates_on_update=True,
        ),
        defaults=others.default_lease,
    ),
    _Row(
        group="discovery.k8s.io",
        plural="endpointslices",
        kind="EndpointSlice",
        rules=Rules(problems=others.endpoint_slice_problems, name_problem=subdomain_problem, has_generation=True),
        defaults=others.default_endpoint_slice,
    ),
    _Row(
        group="policy",
        plural="poddisruptionbudgets",
        kind="PodDisruptionBudget",
        rules=Rules(
            prepare=budgets.prepare_budget,
            problems=budgets.budget_problems,
            takes_update_without_version=False,
            has_generation=True,
        ),
        defaults=budgets.default_budget,
        short_names=("pdb",),
        subresources={"status": _STATUS},
    ),
    _Row(
        group="apiextensions.k8s.io",
        plural="customresourcedefinitions",
        kind="CustomResourceDefinition",
        rules=DEFINITION_RULES,
        defaults=default_definition,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        storage_version="v1beta1",  # what a real server still says
        is_namespaced=False,
        subresources={"status": _STATUS},
    ),
)


def _review(group: str, kind: str, review: Review) -> _Row:
    return _Row(
        group=group,
        plural=f"{kind.lower()}s",
        kind=kind,
        rules=Rules(),
        is_namespaced=False,
        verbs=("create",),
        review=review,
    )


_REVIEWS = (
    _review("authentication.k8s.io", "SelfSubjectReview", reviews.answer_self),
    _review("authorization.k8s.io", "SelfSubjectAccessReview", reviews.answer_access),
    _review("authorization.k8s.io", "SelfSubjectRulesReview", reviews.answer_rules),
)
