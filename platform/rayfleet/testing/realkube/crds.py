"""The CRDs of other projects, as those projects publish them: in their Go modules, pinned by version and checksum."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from rayfleet.testing.realkube.build import KUBERAY_VERSION
from rayfleet.testing.realkube.errors import RealKubeError
from rayfleet.testing.realkube.files import Progress, exclusive_lock, new_folder
from rayfleet.testing.realkube.toolchain import downloaded_module, find_go


@dataclass(frozen=True, slots=True, kw_only=True)
class _CrdModule:
    name: str
    module: str
    version: str
    checksum: str  # of the module zip, as go.sum would have it
    folder: str
    kinds: tuple[str, ...] = ("",)  # how the files end, all by default


_GATEWAY_API = _CrdModule(
    name="gateway-api",
    module="sigs.k8s.io/gateway-api",
    version="v1.6.3",
    checksum="h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
    folder="config/crd/standard",
)
_KUBERAYS = {
    version: _CrdModule(
        name="kuberay",
        module="github.com/ray-project/kuberay/ray-operator",
        version=version,
        checksum=checksum,
        folder="config/crd/bases",
    )
    for version, checksum in (
        (KUBERAY_VERSION, "h1:1hs7Di2U/vm09ot7MIU8jUqEo7gHDc4gkbv1eFvqCsQ="),
        ("v1.3.2", "h1:3tDr1WtLS8WgOg/PVvyokFFsCVuh44SsjPdtlOrHDY4="),
        ("v1.2.2", "h1:wj4qe9SmJfD1ubgEaVPuAsnU/WFDvremzR8j3JslBdk="),
    )
}
KUBERAY_VERSIONS = tuple(_KUBERAYS)
"""Those whose CRDs can be had, the newest first: the one that is run, the oldest that we support, and one before."""
_PROMETHEUS_OPERATOR = _CrdModule(
    name="prometheus-operator",
    module="github.com/prometheus-operator/prometheus-operator",
    version="v0.92.0",
    checksum="h1:tAbsod3+9sQsxDeAvLP27dAe9terToht5M+YdDwLGP0=",
    folder="example/prometheus-operator-crd",
    kinds=("podmonitors", "servicemonitors", "prometheusrules"),
)


def gateway_api_crds(cache: Path, *, progress: Progress = lambda _line: None) -> list[Path]:
    """Return the files of Gateway API's standard channel (Gateway, HTTPRoute, ReferenceGrant, …), by name.

    One CustomResourceDefinition a file; the channel's admission policy is left out. Raises ``RealKubeError``.
    """
    return _crd_files(_GATEWAY_API, cache, progress=progress)


def kuberay_crds(cache: Path, version: str = KUBERAY_VERSION, *, progress: Progress = lambda _line: None) -> list[Path]:
    """Return the files of KubeRay's CRDs (RayCluster, RayJob, RayService) in one of ``KUBERAY_VERSIONS``, by name.

    They are too big for the annotation of a plain ``kubectl apply``: create them. Raises ``RealKubeError``.
    """
    return _crd_files(_KUBERAYS[version], cache, progress=progress)


def prometheus_operator_crds(cache: Path, *, progress: Progress = lambda _line: None) -> list[Path]:
    """Return the files of the kinds of the Prometheus operator that the chart has. Raises ``RealKubeError``."""
    return _crd_files(_PROMETHEUS_OPERATOR, cache, progress=progress)


def _crd_files(source: _CrdModule, cache: Path, *, progress: Progress) -> list[Path]:
    folder = cache.absolute() / "crds" / f"{source.name}-{source.version}"
    if not folder.is_dir():
        with exclusive_lock(folder.parent / ".lock", what=f"CRDs of {source.name}", progress=progress):
            if not folder.is_dir():
                _copy_crds(source, folder, cache=cache, progress=progress)
    return sorted(folder.glob("*.yaml"))


def _copy_crds(source: _CrdModule, folder: Path, *, cache: Path, progress: Progress) -> None:
    progress(f"fetching the CRDs of {source.name} {source.version} (Go module {source.module})")
    go = find_go(cache, progress=progress)
    module = downloaded_module(go, source.module, source.version, source.checksum)
    with new_folder(folder) as made:
        files = (file for kind in source.kinds for file in (module / source.folder).glob(f"*{kind}.yaml"))
        for file in sorted(files):
            if "\nkind: CustomResourceDefinition\n" in file.read_text(encoding="utf-8"):
                shutil.copyfile(file, made / file.name)
        if not any(made.iterdir()):
            raise RealKubeError(f"{source.module}@{source.version} has no CRD in {source.folder}")
