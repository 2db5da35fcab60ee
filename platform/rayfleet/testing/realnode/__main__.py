"""``python -m rayfleet.testing.realnode COMMAND``: look at the machine, fill the cache, run a cluster."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from rayfleet.model.errors import RayfleetError
from rayfleet.process import stop_event
from rayfleet.testing.realkube import default_cache
from rayfleet.testing.realnode import EXIT_CODE, NeedsMissing, check_needs, ensure_everything, real_cluster
from rayfleet.testing.realnode.images import ImageArchive, ensure_images
from rayfleet.testing.realnode.machine import clean
from rayfleet.testing.realnode.needs import CNI_FOLDER, missing_packages
from rayfleet.testing.realnode.programs import ensure_pause


def main() -> int:
    """Carry out one command; return the exit code: 69 when this machine lacks something, 1 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m rayfleet.testing.realnode", description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("needs", f"say what this machine lacks; exit code {EXIT_CODE} if it lacks anything"),
        ("packages", "print the names of Debian's packages that are missing, for `apt-get install`"),
        ("build", "build the programs, Helm and our images, and print the images' sizes"),
        ("images", "build our images alone, without a container tool; print the OCI archive's path and the sizes"),
        ("run", "run a cluster until Ctrl-C, and print its kubeconfig"),
        ("clean", "remove what a killed cluster left"),
    ):
        commands.add_parser(name, help=what)
    arguments = parser.parse_args()
    try:
        _carry_out(arguments.command, arguments.cache)
    except NeedsMissing as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_CODE
    except RayfleetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _carry_out(command: str, cache: Path) -> None:
    if command == "images":
        images = ensure_images(cache, ensure_pause(cache, progress=_tell), progress=_tell)
        sys.stdout.write(f"{images.path}\n{_sizes(images)}")
        return
    if command == "packages":
        sys.stdout.write("".join(f"{name}\n" for name in missing_packages(CNI_FOLDER)))
        return
    check_needs()
    match command:
        case "needs":
            _tell("nothing is missing")
        case "build":
            sys.stdout.write(_sizes(ensure_everything(cache, progress=_tell).images))
        case "clean":
            clean()
        case _:
            asyncio.run(_run(cache))


async def _run(cache: Path) -> None:
    started = time.monotonic()
    async with real_cluster(cache, progress=_tell) as cluster:
        stopped = stop_event()
        _tell(f"ready in {time.monotonic() - started:.0f} s, logs in {cluster.machine.folder}; Ctrl-C ends it")
        sys.stdout.write(f"export KUBECONFIG={cluster.kubeconfig}\n")
        sys.stdout.flush()
        await stopped.wait()


def _sizes(images: ImageArchive) -> str:
    lines = [f"base {images.base_bytes / 1e6:.0f} MB"]
    lines += [f"{name} base + {added / 1e6:.0f} MB" for name, added in images.added_bytes.items()]
    return "".join(f"{line}\n" for line in lines)


def _tell(line: str) -> None:
    """Print progress, which is not the result, on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
