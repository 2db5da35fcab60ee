"""YAML in bodies and answers, read as Kubernetes' tools read it. Pure.

A key that stands twice is reported like one of a JSON body; the last one counts. What is merged in (``<<``) stands
where the merge does: a key that is written too stands twice. Source: ``sigs.k8s.io/yaml`` (v1.6),
``go.yaml.in/yaml/v2`` (v2.4, ``decode.go``).
"""

from collections.abc import Iterator
from typing import Any

import yaml

from rayfleet.local.apiserver.grammar.refusal import bad_request
from rayfleet.manifest.documents import KubernetesLoader

YAML = "application/yaml"


def decode_yaml(body: bytes, kind: str) -> tuple[Any, list[str]]:
    """Return the value of a body and its repeated keys. Raises Refusal (400); ``kind`` is named in the message."""
    try:
        loader = KubernetesLoader(body)
        try:
            root = loader.get_single_node()
            repeated = _merged(root) if root is not None else []
            return loader.construct_document(root) if root is not None else None, repeated
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = " ".join(str(error).split())
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): yaml: {message}") from error


def encode_yaml(value: object) -> bytes:
    """Return the value as YAML, keys in order."""
    return yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, encoding="utf-8")


_MERGE = "tag:yaml.org,2002:merge"


def _merged(root: yaml.Node) -> list[str]:
    """Work all merges of a document out, in place, and leave each key once; return those that stood twice."""
    repeated: list[str] = []
    merger, left, seen = _Merger(repeated), [root], {id(root)}
    while left:
        node = left.pop()
        if isinstance(node, yaml.MappingNode):
            merger.work_out(node)
        inner = node.value if isinstance(node, yaml.SequenceNode | yaml.MappingNode) else []
        for each in (part for item in inner for part in (item if isinstance(item, tuple) else (item,))):
            if id(each) not in seen:
                seen.add(id(each))
                left.append(each)
    return repeated


class _Merger:
    """Works each mapping out once, those that it merges first; notes keys that stand twice."""

    def __init__(self, repeated: list[str]) -> None:
        self._repeated = repeated
        self._is_worked_out: dict[int, bool] = {}  # False while it is being

    def work_out(self, node: yaml.MappingNode) -> None:
        """Replace the pairs of a mapping by those that it comes to."""
        is_worked_out = self._is_worked_out.get(id(node))
        if is_worked_out is False:
            raise yaml.constructor.ConstructorError(problem="it contains itself", problem_mark=node.start_mark)
        if is_worked_out:
            return
        self._is_worked_out[id(node)] = False
        pairs: dict[tuple[str, str], tuple[yaml.Node, yaml.Node]] = {}
        for key, value in self._with_merges(node):
            name = (key.tag, str(key.value))
            if name in pairs:
                self._repeated.append(str(key.value))
            pairs[name] = (key, value)
        node.value = [*pairs.values()]
        self._is_worked_out[id(node)] = True

    def _with_merges(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        for key, value in node.value:
            if key.tag != _MERGE:
                yield key, value
                continue
            # Of several the earlier ones win, so they come later.
            for source in reversed(value.value) if isinstance(value, yaml.SequenceNode) else (value,):
                if not isinstance(source, yaml.MappingNode):
                    problem = "map merge requires map or sequence of maps as the value"
                    raise yaml.constructor.ConstructorError(problem=problem, problem_mark=source.start_mark)
                self.work_out(source)
                yield from source.value


class _Dumper(yaml.SafeDumper):
    """Writes each value out, also one that stands twice, and quotes what Go's YAML or PyYAML would not read as text."""

    def ignore_aliases(self, _data: object) -> bool:
        """Whether to write a value out instead of referring to it: always."""
        return True


for _first, _resolvers in KubernetesLoader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _resolvers:
        _Dumper.add_implicit_resolver(_tag, _pattern, [_first])
