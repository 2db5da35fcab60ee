"""What field selectors compare: the labels of a kind (``spec.nodeName``), and how each is read from an object. Pure.

Not every field has a label: those that have one are ``pkg/apis/core/v1/conversion.go``'s (Kubernetes v1.36) for
built-in kinds, and the ``selectableFields`` of a custom kind's version.
"""

from collections.abc import Callable, Mapping

from rayfleet.model.json import ReadOnlyJson

FieldReader = Callable[[ReadOnlyJson], str]


def field_reader(path: str) -> FieldReader:
    """Return what reads the text at ``path`` (dotted); an absent field counts as the empty text."""
    names = path.split(".")

    def read(manifest: ReadOnlyJson) -> str:
        value: object = manifest
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    return read


def flag_reader(path: str) -> FieldReader:
    """Return what reads the truth value at ``path``; an absent one is false."""
    read = field_reader(path)
    return lambda manifest: read(manifest) or "false"


def fields_at(*paths: str) -> Mapping[str, FieldReader]:
    """Return the labels that are read where their name says."""
    return {path: field_reader(path) for path in paths}


NAME = fields_at("metadata.name")
NAME_AND_NAMESPACE = fields_at("metadata.name", "metadata.namespace")
