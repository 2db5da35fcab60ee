"""Facts of a Node and of what a pod says about nodes: cordon, taints, tolerations, selector. Pure.

Source: Kubernetes 1.36, "Taints and Tolerations".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.parts import mappings, part

NOT_READY = "node.kubernetes.io/not-ready"
"""The taint with which a node begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """What keeps pods away from a node; ``raw`` is all of it."""

    key: str
    value: str
    effect: str
    raw: Json

    def __str__(self) -> str:
        return f"{{{self.key}: {self.value}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """A taint that a pod does not mind; an empty key or effect means every one."""

    key: str
    value: str
    effect: str
    is_any_value: bool

    def tolerates(self, taint: Taint) -> bool:
        """Whether it is about the taint."""
        if self.effect not in ("", taint.effect) or self.key not in ("", taint.key):
            return False
        return self.is_any_value or (bool(self.key) and self.value == taint.value)


def is_cordoned(node: ReadOnlyJson) -> bool:
    """Whether no new pod is to be put on the node."""
    return bool(part(node, "spec").get("unschedulable"))


def taints_of(node: ReadOnlyJson) -> tuple[Taint, ...]:
    """Return the node's taints, as they stand."""
    return tuple(
        Taint(
            key=str(each.get("key") or ""),
            value=str(each.get("value") or ""),
            effect=str(each.get("effect") or ""),
            raw=each,
        )
        for each in mappings(part(node, "spec").get("taints"))
    )


def tolerations_of(pod: ReadOnlyJson) -> tuple[Toleration, ...]:
    """Return the pod's tolerations, as they stand."""
    return tuple(
        Toleration(
            key=str(each.get("key") or ""),
            value=str(each.get("value") or ""),
            effect=str(each.get("effect") or ""),
            is_any_value=each.get("operator") == "Exists",
        )
        for each in mappings(part(pod, "spec").get("tolerations"))
    )


def node_selector_of(pod: ReadOnlyJson) -> Mapping[str, str]:
    """Return the labels that the pod's node must have."""
    return {str(key): str(value) for key, value in part(pod, "spec", "nodeSelector").items()}
