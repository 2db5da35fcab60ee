"""Which API server is meant: what a flag says beats the environment, and nothing said is no reason to guess.

In this order: ``--kubeconfig`` or ``--name``; ``$KUBECONFIG``; the cluster ``default`` of this machine, if it was ever
started here; kubectl's own file (``~/.kube/config``); the service account of the pod that this runs in. A cluster of
this machine that was named, or is there but does not run, is an error and never a reason to take the next: the objects
of another cluster would be changed.
"""

from dataclasses import dataclass
from pathlib import Path

from rayfleet.cli.settings import CliSettings
from rayfleet.local.folders import ClusterFolders, cluster_folders
from rayfleet.local.supervisor.record import read_record
from rayfleet.model.errors import SettingsError

DEFAULT_NAME = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the address of an API server is written.

    ``files`` None: the pod's service account. ``local``: its folders when it is a cluster of this machine.
    """

    files: tuple[Path, ...] | None
    local: ClusterFolders | None = None


def source_of(settings: CliSettings, *, kubeconfig: Path | None, name: str | None) -> Source:
    """Return what the flags (None: not given) and the environment mean. Raises SettingsError with the way out."""
    if kubeconfig is not None:
        return _of_files(settings, (kubeconfig,))
    if name is not None:
        return _of_this_machine(settings, name)
    if settings.kubeconfig:
        return _of_files(settings, settings.kubeconfig)
    if cluster_folders(settings.state_home, DEFAULT_NAME).kubeconfig.exists():
        return _of_this_machine(settings, DEFAULT_NAME)
    if settings.home_kubeconfig.is_file():
        return Source(files=(settings.home_kubeconfig,))
    if settings.is_in_pod:
        return Source(files=None)
    raise SettingsError(
        f"no API server to speak to: cluster {DEFAULT_NAME!r} does not exist on this machine and KUBECONFIG is not set",
        way_out="Start one here with `rayfleet up`, or name yours with --kubeconfig.",
    )


def local_folders(settings: CliSettings, *, kubeconfig: Path | None, name: str | None) -> ClusterFolders | None:
    """Return the folders of the cluster of this machine that is meant, running or not; None for another's."""
    files = (kubeconfig,) if kubeconfig is not None else settings.kubeconfig
    if files and name is None:
        return _of_files(settings, files).local
    folders = cluster_folders(settings.state_home, name or DEFAULT_NAME)
    is_elsewhere = name is None and not folders.root.exists() and settings.home_kubeconfig.is_file()
    return None if is_elsewhere else folders


def _of_files(settings: CliSettings, files: tuple[Path, ...]) -> Source:
    """Return the source; a cluster of this machine is known by where its only file lies, also through a link."""
    path = files[0].resolve()
    is_local = len(files) == 1 and path.parent.parent == (settings.state_home / "rayfleet").resolve()
    return Source(files=files, local=ClusterFolders(root=path.parent) if is_local else None)


def _of_this_machine(settings: CliSettings, name: str) -> Source:
    folders = cluster_folders(settings.state_home, name)
    start = "rayfleet up --detach" + ("" if name == DEFAULT_NAME else f" --name {name}")
    way_out = f"Start it with `{start}`, or name another API server with --kubeconfig."
    if not folders.kubeconfig.exists():
        raise SettingsError(f"cluster {name!r} does not exist on this machine", way_out=way_out)
    if read_record(folders.record) is None:
        raise SettingsError(f"cluster {name!r} does not run on this machine", way_out=way_out)
    return Source(files=(folders.kubeconfig,), local=folders)
