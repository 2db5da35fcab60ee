"""``python -m rayfleet.testing.llamacpp_rpc build``.

Build llama.cpp's programs once.
"""

import argparse
import sys
from pathlib import Path

from rayfleet.model.errors import RayfleetError
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing.llamacpp_rpc.build import ensure_programs


def main() -> int:
    """Carry out the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rayfleet.testing.llamacpp_rpc", description=__doc__)
    parser.add_argument("--cache", type=Path, default=read_plugin_settings().cache, help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the programs unless they are there, and print where they are")
    arguments = parser.parse_args()
    try:
        folder = ensure_programs(arguments.cache, progress=_tell)
    except RayfleetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{folder}\n")
    return 0


def _tell(line: str) -> None:
    """Print progress, which is not the result, on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
