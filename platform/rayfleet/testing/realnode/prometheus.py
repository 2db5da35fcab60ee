"""Debian's ``prometheus`` and ``promtool`` for tests, without an installation: its service would start here.

That build has no discovery of Kubernetes: its targets come from files, which whoever runs it writes.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rayfleet.testing.realkube.files import Progress, exclusive_lock, new_folder, told_while
from rayfleet.testing.realnode.base import debian_suite, unpack_package

_PACKAGE = "prometheus"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusPrograms:
    """The server and what checks its files; both lie in ``folder``."""

    folder: Path
    server: Path
    promtool: Path


def ensure_prometheus(cache: Path, *, progress: Progress) -> PrometheusPrograms:
    """Return the programs of this machine's Debian, downloading its package (19 MB) if ``cache`` lacks them.

    Raises ``RealKubeError``.
    """
    suite = debian_suite(Path("/etc/os-release").read_text(encoding="utf-8"))
    folder = cache.absolute() / "prometheus" / suite
    if not folder.is_dir():
        with exclusive_lock(folder.parent / ".lock", what="Prometheus", progress=progress):
            if not folder.is_dir():
                with told_while(f"fetching Prometheus of Debian {suite}", progress):
                    _unpack(folder)
    return PrometheusPrograms(folder=folder, server=folder / "prometheus", promtool=folder / "promtool")


def _unpack(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as unpacked, new_folder(folder) as made:
        unpack_package(_PACKAGE, Path(unpacked))
        for name in ("prometheus", "promtool"):
            shutil.copy(Path(unpacked) / "usr" / "bin" / name, made / name)
