"""A real Kubernetes of one node for tests: kubelet, containerd, kube-proxy, CNI, CoreDNS, our images, real KubeRay.

Built once from pinned sources and this machine's Debian, started in namespaces of its own, ended as a whole. Needs
root; ``python -m rayfleet.testing.realnode needs`` says what else is missing. Nothing comes from an image registry.
"""

from rayfleet.testing.realnode.cluster import RunningCluster, ensure_everything, real_cluster
from rayfleet.testing.realnode.needs import EXIT_CODE, NeedsMissing, check_needs

__all__ = ["EXIT_CODE", "NeedsMissing", "RunningCluster", "check_needs", "ensure_everything", "real_cluster"]
