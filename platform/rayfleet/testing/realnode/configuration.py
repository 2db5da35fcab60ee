"""What each program of the cluster is told: files and command lines, out of a folder and two addresses. Pure.

The traps behind the values: cgroup v1 is refused by default (``failCgroupV1``); without CAP_SYS_RESOURCE no process may
be given a negative score (``restrict_oom_score_adj``); the pause image has to be named, or a registry is asked for it;
``kubectl logs`` needs a certificate that the kubelet knows; network names and logs lie below the folder, where the end
of the machine ends them. Source: Kubernetes 1.36 (KubeletConfiguration v1beta1), containerd 2.4 (configuration 3).
"""

import json
from pathlib import Path

from rayfleet.model.json import Json
from rayfleet.testing.realkube import NodePrograms
from rayfleet.testing.realkube.build import Binaries
from rayfleet.testing.realnode.images import PAUSE
from rayfleet.testing.realnode.machine import ADDRESS, FOLDER, NAME

PODS, SERVICES, DNS = "10.96.0.0/16", "10.97.0.0/16", "10.97.0.10"
API = f"https://{ADDRESS}:6443"
NODE = "node-1"
CERTIFICATES = "certificates"
SOCKET = FOLDER / "containerd.sock"
KUBECONFIG = FOLDER / "kubeconfig"
AUDIT_LOG = FOLDER / "audit.log"

_ETCD = "http://127.0.0.1:2379"


def files(cni: Path) -> dict[str, str]:
    """Return the files that programs read, by their names in the folder; ``cni`` has CNI's plugins."""
    return {
        "audit.yaml": json.dumps(_AUDIT),
        "containerd.toml": _containerd(cni),
        "kubelet.yaml": json.dumps(_KUBELET),
        "cni/10-bridge.conflist": json.dumps(_CNI),
        "resolv.conf": f"nameserver {DNS}\n",
        "Corefile": _COREFILE,
    }


def etcd(program: Path) -> list[str]:
    """Return etcd's command line, for the inside: its default ports."""
    return [str(program), "--data-dir", str(FOLDER / "etcd"), "--unsafe-no-fsync"]


def apiserver(binaries: Binaries) -> list[str]:
    """Return kube-apiserver's command line."""
    return [
        str(binaries.kube_apiserver),
        *(
            "--etcd-servers",
            _ETCD,
            "--secure-port",
            "6443",
            "--bind-address",
            "0.0.0.0",
            "--advertise-address",
            ADDRESS,
        ),
        *("--cert-dir", CERTIFICATES, "--token-auth-file", "tokens.csv", "--authorization-mode", "Node,RBAC"),
        *("--service-account-issuer", "https://kubernetes.default.svc"),
        *("--service-account-signing-key-file", "sa.key", "--service-account-key-file", "sa.pub"),
        *("--service-cluster-ip-range", SERVICES, "--allow-privileged"),
        *("--kubelet-preferred-address-types", "InternalIP"),
        *("--kubelet-client-certificate", "kubelet-client.crt", "--kubelet-client-key", "kubelet-client.key"),
        *("--audit-policy-file", "audit.yaml", "--audit-log-path", str(AUDIT_LOG), "--audit-log-maxsize", "2000"),
    ]


def controller_manager(program: Path) -> list[str]:
    """Return kube-controller-manager's command line."""
    return [
        *_client_of_the_api(program),
        *("--service-account-private-key-file", "sa.key", "--root-ca-file", f"{CERTIFICATES}/apiserver.crt"),
        *("--allocate-node-cidrs", "--cluster-cidr", PODS),
    ]


def scheduler(programs: NodePrograms) -> list[str]:
    """Return kube-scheduler's command line."""
    return _client_of_the_api(programs.kube_scheduler)


def kubelet(programs: NodePrograms) -> list[str]:
    """Return the kubelet's command line."""
    names = ("--hostname-override", NODE, "--node-ip", ADDRESS)
    return [str(programs.kubelet), "--config", "kubelet.yaml", "--kubeconfig", str(KUBECONFIG), *names]


def proxy(programs: NodePrograms) -> list[str]:
    """Return kube-proxy's command line."""
    names = ("--hostname-override", NODE, "--cluster-cidr", PODS)
    limits = ("--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0s")
    return [str(programs.kube_proxy), "--kubeconfig", str(KUBECONFIG), "--proxy-mode", "nftables", *names, *limits]


def dns_objects() -> tuple[Json, Json]:
    """Return the Service of the cluster's DNS, and where it leads: CoreDNS runs beside the kubelet, not in a pod."""
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    service: Json = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": DNS, "ports": ports},
    }
    labels = {"kubernetes.io/service-name": "kube-dns"}
    endpoints: Json = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns-1", "namespace": "kube-system", "labels": labels},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
    }
    return service, endpoints


def _client_of_the_api(program: Path) -> list[str]:
    kubeconfig = str(KUBECONFIG)
    return [
        *(str(program), "--kubeconfig", kubeconfig, "--leader-elect=false", "--bind-address", "127.0.0.1"),
        *(
            "--authentication-kubeconfig",
            kubeconfig,
            "--authorization-kubeconfig",
            kubeconfig,
            "--cert-dir",
            CERTIFICATES,
        ),
    ]


def _containerd(cni: Path) -> str:
    return f"""version = 3
root = "{FOLDER}/containerd"
state = "{FOLDER}/containerd-state"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{FOLDER}/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{cni}"]
  conf_dir = "{FOLDER}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    SystemdCgroup = false
"""


_AUDIT: Json = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}

_KUBELET: Json = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "failCgroupV1": False,
    "failSwapOn": False,
    "cgroupDriver": "cgroupfs",
    "cgroupRoot": f"/{NAME}",
    "enforceNodeAllocatable": [],
    "containerRuntimeEndpoint": f"unix://{SOCKET}",
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": str(FOLDER / "kubelet-client.crt")},
    },
    "authorization": {"mode": "Webhook"},
    "clusterDNS": [DNS],
    "clusterDomain": "cluster.local",
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "imageGCHighThresholdPercent": 100,
    "serializeImagePulls": False,
    "maxPods": 200,
    "resolvConf": str(FOLDER / "resolv.conf"),
}

_CNI: Json = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.96.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

_COREFILE = f""".:53 {{
  bind {ADDRESS}
  errors
  ready {ADDRESS}:8181
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {KUBECONFIG}
    ttl 5
  }}
  cache 5
}}
"""
