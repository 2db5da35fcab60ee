"""YAML in bodies and answers, read as Kubernetes' tools read it. Pure.

A key that stands twice is reported like one of a JSON body; the last one counts. Source: ``sigs.k8s.io/yaml`` (v1.6).
"""

from collections.abc import Hashable
from typing import Any

import yaml

from rayfleet.local.apiserver.grammar.refusal import bad_request
from rayfleet.manifest.documents import KubernetesLoader

YAML = "application/yaml"


def decode_yaml(body: bytes, kind: str) -> tuple[Any, list[str]]:
    """Return the value of a body and its repeated keys. Raises Refusal (400); ``kind`` is named in the message."""
    try:
        loader = _RepeatingLoader(body)
        try:
            return loader.get_single_data(), loader.repeated
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = " ".join(str(error).split())
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): yaml: {message}") from error


def encode_yaml(value: object) -> bytes:
    """Return the value as YAML, keys in order."""
    return yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, encoding="utf-8")


class _RepeatingLoader(KubernetesLoader):
    """Keeps the last of the values of a key that stands twice, and remembers the key."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.repeated: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping; all keys are texts, as in JSON."""
        last = {(key.tag, str(key.value)): (key, value) for key, value in node.value}
        if len(last) < len(node.value):
            names = [str(key.value) for key, _ in node.value]
            self.repeated += [name for place, name in enumerate(names) if name in names[:place]]
            node.value = [*last.values()]
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """Writes each value out, also one that stands twice, and quotes what Go's YAML would read as something else."""

    def ignore_aliases(self, _data: object) -> bool:
        """Whether to write a value out instead of referring to it: always."""
        return True
