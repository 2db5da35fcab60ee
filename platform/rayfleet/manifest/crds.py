"""CustomResourceDefinitions: our two kinds, and small open ones of KubeRay and the Gateway API. Pure.

Ours are made from ``schema``; each stays far under the 256 KiB that ``kubectl apply`` can note in an annotation. The
foreign ones are for the embedded API server only: on Kubernetes, KubeRay and the Gateway API bring their own. The files
in ``rayfleet/deploy/crds`` are written by ``make golden``.
"""

from collections.abc import Mapping, Sequence

import yaml

from rayfleet.manifest.checking import NAME_PATTERN
from rayfleet.manifest.schema import (
    FLEET_NAME_LETTERS,
    FLEET_SPEC,
    FLEET_STATUS,
    REPLICA_SET_NAME_LETTERS,
    REPLICA_SET_SPEC,
    REPLICA_SET_STATUS,
)
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import (
    FLEETS,
    GATEWAY_API,
    GATEWAYS,
    HTTP_ROUTES,
    RAY_CLUSTERS,
    REFERENCE_GRANTS,
    REPLICA_SETS,
    ResourceType,
)

GATEWAY_CLASSES = ResourceType(
    group=GATEWAY_API, version="v1", plural="gatewayclasses", kind="GatewayClass", is_namespaced=False
)
_AGE: Json = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
# What a new fleet says until a controller has looked at it: kstatus (``helm --wait``, Flux) takes an object without a
# status for done, one whose generation nobody has observed for in progress.
_NOT_SEEN_YET: Json = {"default": {"observedGeneration": -1}}
_OPEN: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def fleet_crds() -> tuple[Json, ...]:
    """Return the CRDs of RayClusterFleet and RayClusterReplicaSet."""
    return (_fleet_crd(), _replica_set_crd())


def foreign_crds() -> tuple[Json, ...]:
    """Return open CRDs of the foreign kinds that we read and write: for the embedded API server."""
    return (_ray_clusters(), *(_gateway_kind(*row) for row in _GATEWAY_KINDS))


def all_crds() -> tuple[Json, ...]:
    """Return every CRD that the embedded API server starts with."""
    return (*fleet_crds(), *foreign_crds())


def crd_file_name(crd: ReadOnlyJson) -> str:
    """Return the file that holds ``crd``, as controller-gen names them."""
    return f"{crd['spec']['group']}_{crd['spec']['names']['plural']}.yaml"


def crd_yaml(crd: ReadOnlyJson) -> str:
    """Return the text of that file; the same for the same CRD, always."""
    return yaml.dump(crd, Dumper=_PlainDumper, sort_keys=False, width=120, allow_unicode=True)


class _PlainDumper(yaml.SafeDumper):
    """No anchors: parts that are shared here are written out, as Kubernetes' own files have it."""

    def ignore_aliases(self, data: object) -> bool:
        """Whether to write out ``data`` in place: always."""
        return True


def _fleet_crd() -> Json:
    schema = _root(
        "Desired number of identical Ray clusters that serve one model, with a rollout strategy.",
        FLEET_SPEC,
        {**FLEET_STATUS, **_NOT_SEEN_YET},
        FLEET_NAME_LETTERS,
    )
    columns = [
        _column("Ready", "string", ".status.ready"),
        _column("Up-to-date", "integer", ".status.updatedReplicas"),
        _column("Available", "integer", ".status.availableReplicas"),
        _column("Model", "string", ".status.model"),
        _column("Status", "string", ".status.phase"),
        _AGE,
        _wide_column("Blocked By", ".status.replicaStates[0].reason"),
        _wide_column("Blocking Pod", ".status.replicaStates[0].pod"),
    ]
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.scalingTargetSelector",
    }
    return _crd(FLEETS, schema, columns, short_names=["rcf"], categories=["ray-fleet"], scale=scale)


def _replica_set_crd() -> Json:
    schema = _root(
        "The Ray clusters of one template revision of a fleet.",
        REPLICA_SET_SPEC,
        REPLICA_SET_STATUS,
        REPLICA_SET_NAME_LETTERS,
    )
    columns = [
        _column("Desired", "integer", ".spec.replicas"),
        _column("Current", "integer", ".status.replicas"),
        _column("Ready", "integer", ".status.readyReplicas"),
        _column("Available", "integer", ".status.availableReplicas"),
        _AGE,
    ]
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    return _crd(REPLICA_SETS, schema, columns, short_names=["rcrs"], categories=["ray-fleet"], scale=scale)


def _root(description: str, spec: ReadOnlyJson, status: ReadOnlyJson, name_letters: int) -> Json:
    """Return the schema of a whole object, with the rule that derived RayCluster names stay within KubeRay's limit."""
    return {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": [
            {
                "rule": f"size(self.metadata.name) <= {name_letters}",
                "message": f"metadata.name may have at most {name_letters} letters: "
                "KubeRay allows 53 for the RayClusters",
            },
            {
                "rule": f"self.metadata.name.matches('{NAME_PATTERN}')",
                "message": "metadata.name must be a DNS-1035 name: KubeRay takes no other for the RayClusters",
            },
        ],
    }


def _ray_clusters() -> Json:
    columns = [
        _column("Desired Workers", "integer", ".status.desiredWorkerReplicas"),
        _column("Ready Workers", "integer", ".status.readyWorkerReplicas"),
        _column("Status", "string", ".status.state"),
        _AGE,
    ]
    return _crd(RAY_CLUSTERS, _open_schema("KubeRay's RayCluster."), columns, categories=["all"])


def _gateway_kind(resource: ResourceType, columns: Mapping[str, str], short_name: str) -> Json:
    shown = [*(_column(name, "string", path) for name, path in columns.items()), _AGE]
    return _crd(
        resource,
        _open_schema(f"Gateway API's {resource.kind}."),
        shown,
        short_names=[short_name] if short_name else None,
        categories=["gateway-api"],
    )


_GATEWAY_KINDS: tuple[tuple[ResourceType, Mapping[str, str], str], ...] = (  # kind, text columns, short name
    (HTTP_ROUTES, {"Hostnames": ".spec.hostnames"}, ""),
    (
        GATEWAYS,
        {
            "Class": ".spec.gatewayClassName",
            "Address": ".status.addresses[*].value",
            "Programmed": ".status.conditions[?(@.type=='Programmed')].status",
        },
        "gtw",
    ),
    (GATEWAY_CLASSES, {"Controller": ".spec.controllerName"}, "gc"),
    (REFERENCE_GRANTS, {}, "refgrant"),
)


def _open_schema(description: str) -> Json:
    return {
        "type": "object",
        "description": description,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _OPEN,
            "status": _OPEN,
        },
    }


def _column(name: str, kind: str, path: str) -> Json:
    return {"name": name, "type": kind, "jsonPath": path}


def _wide_column(name: str, path: str) -> Json:
    """Return a column of text that ``kubectl get -o wide`` shows."""
    return {**_column(name, "string", path), "priority": 1}


def _crd(
    resource: ResourceType,
    schema: ReadOnlyJson,
    columns: Sequence[ReadOnlyJson],
    *,
    short_names: list[str] | None = None,
    categories: list[str] | None = None,
    scale: ReadOnlyJson | None = None,
) -> Json:
    metadata: Json = {"name": f"{resource.plural}.{resource.group}"}
    if resource.group.endswith(".k8s.io"):
        # An API server wants to hear where a CRD of a Kubernetes group was approved; this one is a stand-in.
        metadata["annotations"] = {"api-approved.kubernetes.io": "unapproved, open stand-in of the real definition"}
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, **({"scale": scale} if scale else {})},
        "additionalPrinterColumns": list(columns),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": resource.group,
            "names": _names(resource, short_names, categories),
            "scope": "Namespaced" if resource.is_namespaced else "Cluster",
            "versions": [version],
        },
    }


def _names(resource: ResourceType, short_names: list[str] | None, categories: list[str] | None) -> Json:
    names: Json = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
    }
    if short_names:
        names["shortNames"] = short_names
    if categories:
        names["categories"] = categories
    return names
