"""What may be the name and value of a label, and the name of an annotation, said before an API server does. Pure.

A fleet's own template is open to its API server, so a label that none takes would only be met when the replica set, or
a pod, is to be made. Source: Kubernetes, "Labels and Selectors"; apimachinery ``validation.IsQualifiedName`` and
``IsValidLabelValue`` (v1.36).
"""

import re
from collections.abc import Iterator

from rayfleet.manifest.checking import child_path, shown
from rayfleet.model.errors import FieldError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import part

_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_NO_NAME = "is no name of a label: at most 63 letters, digits, '-', '_' and '.', a DNS name and '/' may be before them"
_NO_VALUE = "is no value of a label: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"


def metadata_errors(meta: ReadOnlyJson, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with labels and annotations at ``path``; that a value is no text is not said here."""
    for field in ("labels", "annotations"):
        for name, value in part(meta, field).items():
            here = child_path(f"{path}.{field}", name)
            if not is_qualified_name(name):
                yield FieldError(path=here, message=_NO_NAME)
            elif field == "labels" and isinstance(value, str) and value and not _WORD.fullmatch(value):
                yield FieldError(path=here, message=f"{shown(value)} {_NO_VALUE}")


def is_qualified_name(name: str) -> bool:
    """Whether ``name`` may be the name of a label or an annotation."""
    prefix, slash, word = name.rpartition("/")
    return _WORD.fullmatch(word) is not None and (not slash or _SUBDOMAIN.fullmatch(prefix) is not None)
