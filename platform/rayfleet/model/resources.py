"""The kinds of Kubernetes object that rayfleet reads or writes. Pure.

Source: Kubernetes API reference (v1.36), Gateway API v1.6, KubeRay v1.5, AIBrix v1alpha1.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType:
    """One served resource; ``group`` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What stands in an object's ``apiVersion``: ``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base_path(self) -> str:
        """The URL prefix of the group and version: ``/api/v1`` or ``/apis/apps/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


def _core(plural: str, kind: str, *, is_namespaced: bool = True) -> ResourceType:
    return ResourceType(group="", version="v1", plural=plural, kind=kind, is_namespaced=is_namespaced)


ORCHESTRATION = "orchestration.aibrix.ai"
GATEWAY_API = "gateway.networking.k8s.io"

FLEETS = ResourceType(group=ORCHESTRATION, version="v1alpha1", plural="rayclusterfleets", kind="RayClusterFleet")
REPLICA_SETS = ResourceType(
    group=ORCHESTRATION, version="v1alpha1", plural="rayclusterreplicasets", kind="RayClusterReplicaSet"
)
RAY_CLUSTERS = ResourceType(group="ray.io", version="v1", plural="rayclusters", kind="RayCluster")
HTTP_ROUTES = ResourceType(group=GATEWAY_API, version="v1", plural="httproutes", kind="HTTPRoute")
GATEWAYS = ResourceType(group=GATEWAY_API, version="v1", plural="gateways", kind="Gateway")
REFERENCE_GRANTS = ResourceType(group=GATEWAY_API, version="v1beta1", plural="referencegrants", kind="ReferenceGrant")
NAMESPACES = _core("namespaces", "Namespace", is_namespaced=False)
NODES = _core("nodes", "Node", is_namespaced=False)
PODS = _core("pods", "Pod")
SERVICES = _core("services", "Service")
SECRETS = _core("secrets", "Secret")
CONFIG_MAPS = _core("configmaps", "ConfigMap")
SERVICE_ACCOUNTS = _core("serviceaccounts", "ServiceAccount")
EVENTS = _core("events", "Event")
LEASES = ResourceType(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
ENDPOINT_SLICES = ResourceType(group="discovery.k8s.io", version="v1", plural="endpointslices", kind="EndpointSlice")
DISRUPTION_BUDGETS = ResourceType(
    group="policy", version="v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget"
)
CRDS = ResourceType(
    group="apiextensions.k8s.io",
    version="v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    is_namespaced=False,
)
