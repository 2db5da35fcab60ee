"""A real Kubernetes API server for tests: built once from pinned sources, started in about two seconds.

::

    binaries = ensure_binaries(default_cache(), progress=print)
    async with real_kube_apiserver(binaries, tmp_path) as api:
        ...  # api.url, api.token, api.ca_file, api.kubeconfig

Nothing is downloaded, built or started by an import. ``python -m rayfleet.testing.realkube build`` fills the cache.
"""

from rayfleet.testing.realkube.build import (
    ETCD_VERSION,
    HELM_VERSIONS,
    KUBERAY_VERSION,
    KUBERNETES_VERSION,
    Binaries,
    NodePrograms,
    ensure_binaries,
    ensure_controller_manager,
    ensure_helm,
    ensure_kuberay_operator,
    ensure_node_programs,
)
from rayfleet.testing.realkube.crds import KUBERAY_VERSIONS, gateway_api_crds, kuberay_crds, prometheus_operator_crds
from rayfleet.testing.realkube.errors import RealKubeError, ServerStartError
from rayfleet.testing.realkube.kubectl import ensure_kubectl
from rayfleet.testing.realkube.server import RealKubeServer, RunningApiServer, real_kube_apiserver
from rayfleet.testing.realkube.settings import default_cache

__all__ = [
    "ETCD_VERSION",
    "HELM_VERSIONS",
    "KUBERAY_VERSION",
    "KUBERAY_VERSIONS",
    "KUBERNETES_VERSION",
    "Binaries",
    "NodePrograms",
    "RealKubeError",
    "RealKubeServer",
    "RunningApiServer",
    "ServerStartError",
    "default_cache",
    "ensure_binaries",
    "ensure_controller_manager",
    "ensure_helm",
    "ensure_kubectl",
    "ensure_kuberay_operator",
    "ensure_node_programs",
    "gateway_api_crds",
    "kuberay_crds",
    "prometheus_operator_crds",
    "real_kube_apiserver",
]
