"""etcd, Kubernetes' own programs, the KubeRay operator and Helm, built once from pinned Go modules.

The folders of ``go/`` beside this file, one for each module, hold ``go.mod`` and ``go.sum``, which fix every byte of
the source. The first build takes three to five minutes of two cores and some 4 GB of Go's own caches.

To move to another version: the two constants below; in ``go/kubernetes/go.mod`` the requirement and every ``replace``
(one per name in the ``replace`` block of Kubernetes' own ``go.mod``, v0.MINOR.PATCH); then ``go mod tidy`` in both.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from rayfleet.testing.realkube.files import Progress
from rayfleet.testing.realkube.go_build import Program, ensure_programs, missing_programs
from rayfleet.testing.realkube.settings import kubebuilder_assets

KUBERNETES_VERSION = "v1.36.3"
ETCD_VERSION = "v3.6.16"
KUBERAY_VERSION = "v1.6.0"
HELM_VERSIONS = ("v3.22.0", "v4.3.2")
"""Both that people use: the fourth applies on the server's side."""

_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
_MODULES = Path(__file__).parent / "go"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """The programs of a real API server, each an absolute path."""

    etcd: Path
    kube_apiserver: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrograms:
    """What runs pods, each an absolute path."""

    kube_scheduler: Path
    kubelet: Path
    kube_proxy: Path


_PROGRAMS = (
    Program(name="etcd", version=ETCD_VERSION, module=_MODULES / "etcd", package="go.etcd.io/etcd/server/v3"),
    Program(
        name="kube-apiserver",
        version=KUBERNETES_VERSION,
        module=_MODULES / "kubernetes",
        package="k8s.io/kubernetes/cmd/kube-apiserver",
        # Without these the server reports v0.0.0-master+$Format, which kubectl's version skew check trips over.
        link_flags=" ".join(
            (
                "-s -w",
                f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}",
                f"-X k8s.io/component-base/version.gitMajor={_MAJOR}",
                f"-X k8s.io/component-base/version.gitMinor={_MINOR}",
            )
        ),
    ),
)

_MANAGER, *_NODE_PROGRAMS = (
    replace(_PROGRAMS[1], name=name, package=f"k8s.io/kubernetes/cmd/{name}")
    for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
)
_OPERATOR = Program(
    name="kuberay-operator",
    version=KUBERAY_VERSION,
    module=_MODULES / "kuberay",
    package="github.com/ray-project/kuberay/ray-operator",
    proof="--help",
)
_HELMS = {
    version: Program(
        name="helm",
        version=version,
        module=_MODULES / f"helm{version[1]}",
        package=f"helm.sh/helm/{version.partition('.')[0]}/cmd/helm",
        proof="version",
    )
    for version in HELM_VERSIONS
}


def binaries_folder(cache: Path) -> Path:
    """Return where the programs lie in ``cache``, by their versions."""
    return cache.absolute() / "kubernetes" / f"{KUBERNETES_VERSION}-etcd-{ETCD_VERSION}"


def ensure_binaries(cache: Path, *, progress: Progress) -> Binaries:
    """Return the programs, building those that ``cache`` lacks.

    A complete folder named by ``KUBEBUILDER_ASSETS`` comes first. Processes that ask at the same time build once.
    Raises ``RealKubeError`` with the last lines of what failed: no Go, no space, no module, no build.
    """
    assets = kubebuilder_assets()
    if assets is not None:
        missing = missing_programs(assets, _PROGRAMS)
        if not missing:
            return _binaries_in(assets)
        progress(f"KUBEBUILDER_ASSETS={assets} lacks {', '.join(p.name for p in missing)}: taking our own build")
    folder = binaries_folder(cache)
    ensure_programs(folder, _PROGRAMS, what="real Kubernetes", cache=cache, progress=progress)
    return _binaries_in(folder)


def ensure_controller_manager(cache: Path, *, progress: Progress) -> Path:
    """Return kube-controller-manager, building it if ``cache`` lacks it: one to four minutes.

    Raises ``RealKubeError``.
    """
    folder = binaries_folder(cache)
    ensure_programs(folder, (_MANAGER,), what="kube-controller-manager", cache=cache, progress=progress)
    return folder / _MANAGER.name


def ensure_node_programs(cache: Path, *, progress: Progress) -> NodePrograms:
    """Return kube-scheduler, kubelet and kube-proxy, building those that ``cache`` lacks: one to five minutes.

    Raises ``RealKubeError``.
    """
    folder = binaries_folder(cache)
    ensure_programs(folder, _NODE_PROGRAMS, what="Kubernetes' node", cache=cache, progress=progress)
    return NodePrograms(
        kube_scheduler=folder / "kube-scheduler", kubelet=folder / "kubelet", kube_proxy=folder / "kube-proxy"
    )


def ensure_kuberay_operator(cache: Path, *, progress: Progress) -> Path:
    """Return the KubeRay operator, building it if ``cache`` lacks it: 1.5 to 6 minutes. Raises ``RealKubeError``."""
    folder = cache.absolute() / "kuberay" / KUBERAY_VERSION
    ensure_programs(folder, (_OPERATOR,), what="the KubeRay operator", cache=cache, progress=progress)
    return folder / _OPERATOR.name


def ensure_helm(cache: Path, version: str, *, progress: Progress) -> Path:
    """Return Helm in one of ``HELM_VERSIONS``, building it if ``cache`` lacks it: minutes. Raises ``RealKubeError``."""
    folder = cache.absolute() / "helm" / version
    ensure_programs(folder, (_HELMS[version],), what=f"Helm {version}", cache=cache, progress=progress)
    return folder / "helm"


def _binaries_in(folder: Path) -> Binaries:
    return Binaries(etcd=folder / "etcd", kube_apiserver=folder / "kube-apiserver")
