"""``python -m rayfleet.testing.realkube {build,kubectl,crds,run}``: fill the cache, or run a server by hand."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from rayfleet.model.errors import RayfleetError
from rayfleet.testing.realkube import (
    HELM_VERSIONS,
    RealKubeServer,
    default_cache,
    ensure_binaries,
    ensure_controller_manager,
    ensure_helm,
    ensure_kubectl,
    ensure_kuberay_operator,
    gateway_api_crds,
    kuberay_crds,
)


def main() -> int:
    """Carry out one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rayfleet.testing.realkube", description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        (
            "build",
            "build etcd, kube-apiserver, kube-controller-manager, KubeRay and Helm, and print where they are",
        ),
        ("kubectl", "fetch the real kubectl, and print where it is"),
        ("crds", "fetch the CRDs of Gateway API and KubeRay, and print where they are"),
        ("run", "run an API server until Ctrl-C, and print its kubeconfig"),
    ):
        commands.add_parser(name, help=what)
    arguments = parser.parse_args()
    try:
        _carry_out(arguments.command, arguments.cache)
    except RayfleetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _carry_out(command: str, cache: Path) -> None:
    match command:
        case "build":
            binaries = ensure_binaries(cache, progress=_tell)
            manager = ensure_controller_manager(cache, progress=_tell)
            operator = ensure_kuberay_operator(cache, progress=_tell)
            helms = [ensure_helm(cache, version, progress=_tell) for version in HELM_VERSIONS]
            _show(binaries.etcd, binaries.kube_apiserver, manager, operator, *helms)
        case "kubectl":
            _show(ensure_kubectl(cache, progress=_tell))
        case "crds":
            _show(*gateway_api_crds(cache, progress=_tell), *kuberay_crds(cache, progress=_tell))
        case _:
            _run(cache)


def _run(cache: Path) -> None:
    binaries = ensure_binaries(cache, progress=_tell)
    with tempfile.TemporaryDirectory(prefix="rayfleet-realkube-") as workdir:
        started = time.monotonic()
        with RealKubeServer(binaries, Path(workdir)) as api:
            ending = (signal.SIGINT, signal.SIGTERM)
            signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # only now: the servers inherit the mask
            _tell(f"ready in {time.monotonic() - started:.1f} s at {api.url}; Ctrl-C ends it")
            sys.stdout.write(f"export KUBECONFIG={api.kubeconfig}\n")
            sys.stdout.flush()
            signal.sigwait(ending)


def _tell(line: str) -> None:
    """Print progress, which is not the result, on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _show(*paths: Path) -> None:
    sys.stdout.writelines(f"{path}\n" for path in paths)


if __name__ == "__main__":
    sys.exit(main())
