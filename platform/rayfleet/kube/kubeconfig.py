"""Kubeconfig files, one or several, as one document.

Several are merged as kubectl does: of each named entry, and of ``current-context``, the first file that has it wins; a
file that does not exist is passed over unless it is the only one; relative paths are below the folder of the file they
stand in. Source: Kubernetes, "Organizing Cluster Access Using kubeconfig Files", "Merging kubeconfig files".
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rayfleet.model.errors import SettingsError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.parts import mapping, mappings

_LISTS = ("clusters", "contexts", "users")
_ANOTHER = "Name another file with --kubeconfig or in $KUBECONFIG."
_PATHS: Mapping[str, Sequence[str]] = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key", "tokenFile"),
}


def read_kubeconfigs(files: Sequence[Path]) -> ReadOnlyJson:
    """Return the merged document of the files. Raises SettingsError naming the file."""
    present = [path for path in files if path.is_file()] if len(files) > 1 else files
    if not present:
        listed = ", ".join(map(str, files))
        raise SettingsError(f"none of the kubeconfigs exists: {listed}", way_out="Name one with --kubeconfig.")
    return merged_kubeconfigs([placed_kubeconfig(_read(path), path.parent) for path in present])


def merged_kubeconfigs(documents: Sequence[ReadOnlyJson]) -> ReadOnlyJson:
    """Return one document, what stands first winning. Pure."""
    contexts = [document.get("current-context") for document in documents]
    merged: Json = {"current-context": next(filter(None, contexts), "")}
    for plural in _LISTS:
        entries = [entry for document in documents for entry in mappings(document.get(plural))]
        merged[plural] = list({str(entry.get("name")): entry for entry in reversed(entries)}.values())[::-1]
    return merged


def placed_kubeconfig(document: ReadOnlyJson, folder: Path) -> ReadOnlyJson:
    """Return the document with its relative file names below ``folder``. Pure."""
    placed = dict(document)
    for plural in _LISTS:
        placed[plural] = [
            _placed_entry(entry, plural.removesuffix("s"), folder) for entry in mappings(document.get(plural))
        ]
    return placed


def _placed_entry(entry: ReadOnlyJson, singular: str, folder: Path) -> ReadOnlyJson:
    fields = mapping(entry.get(singular))
    paths = {name: str(folder / str(fields[name])) for name in _PATHS.get(singular, ()) if fields.get(name)}
    return {**entry, singular: {**fields, **paths}}


def _read(path: Path) -> Mapping[str, Any]:
    import yaml  # 20 ms, needed here only

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(path.read_text("utf-8"), Loader=loader)  # noqa: S506 - both are safe
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read: {getattr(error, 'strerror', error)}"
        raise SettingsError(f"the kubeconfig {path} {problem}", way_out=_ANOTHER) from error
    except yaml.YAMLError as error:
        raise SettingsError(f"the kubeconfig {path} is no YAML: {error}", way_out=_ANOTHER) from error
    if not isinstance(document, dict):
        raise SettingsError(f"the kubeconfig {path} is no mapping", way_out=_ANOTHER)
    return document
