"""``-f``: manifests from files, folders and standard input, with the place of each for messages."""

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from rayfleet.manifest.documents import Document, load_documents
from rayfleet.model.errors import SettingsError

FILES = click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    help="Manifest file, folder of *.yaml, or - for standard input; may be repeated.",
)


def read_documents(files: Iterable[str]) -> list[Document]:
    """Return the documents of files, folders and ``-``, in order. Raises ManifestError and SettingsError."""
    documents = [each for name in files for source, text in _texts(name) for each in load_documents(text, source)]
    if not documents:
        raise SettingsError(f"no object in {', '.join(files)}", way_out="A manifest has apiVersion, kind and metadata.")
    return documents


def _texts(name: str) -> list[tuple[str, str]]:
    if name == "-":
        return [("standard input", sys.stdin.read())]
    path = Path(name)
    paths = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    try:
        return [(str(each), each.read_text(encoding="utf-8")) for each in paths]
    except OSError as error:
        raise SettingsError(f"-f {name}: {error.strerror}", way_out="Give a manifest file, a folder, or -.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"-f {name}: not UTF-8 text ({error.reason})", way_out="Give a YAML manifest.") from error
