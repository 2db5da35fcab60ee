"""The manifest that the user of a transcript applies, by its fields. Pure.

=========================== ===========================================================================================
``image`` (``a``)           of head and workers
``gpus`` (0)                of each pod
``workers`` (0)             of each Ray cluster
``model``                   the label that names a model on the fleet; without: no Service, no HTTPRoute
``weight``                  its share among the fleets of its model, ``spec.route.weight``
``selector`` (``x``)        what the selector asks of the label ``app``, which the template has with the value ``x``
``strategy``                ``RollingUpdate`` or ``Recreate``
``surge``, ``unavailable``  the bounds of a rolling update
``grace``, ``rebuilds``     seconds that a broken Ray cluster has, and how often its place is rebuilt
``warm``, ``patience``      whether nodes are warmed up, and the seconds that that may take
``rollback``                ``true``: a failed rollout goes back to the last healthy revision
others                      as they are called in ``spec``: ``replicas``, ``paused``, ``minReadySeconds``,
                            ``progressDeadlineSeconds``, ``revisionHistoryLimit``, ``replacementPolicy``
=========================== ===========================================================================================
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS
from rayfleet.objects.labels import MODEL_LABEL

Value = int | bool | str
FLEET_NAME = "fleet"
_IN_SPEC = (
    "replicas",
    "paused",
    "minReadySeconds",
    "progressDeadlineSeconds",
    "revisionHistoryLimit",
    "replacementPolicy",
)


class FieldError(Exception):
    """A field that a manifest here does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the user wants of a fleet; None is not written. ``spec`` are the fields that ``spec`` has by these names."""

    image: Value | None = "a"
    gpus: Value | None = None
    workers: Value | None = None
    model: Value | None = None
    weight: Value | None = None
    selector: Value | None = "x"
    strategy: Value | None = None
    surge: Value | None = None
    unavailable: Value | None = None
    rollback: Value | None = None
    grace: Value | None = None
    rebuilds: Value | None = None
    warm: Value | None = None
    patience: Value | None = None
    spec: Mapping[str, Value] = field(default_factory=dict)

    def changed(self, words: Sequence[str]) -> "Manifest":
        """Return it with the fields that ``NAME=VALUE`` words set; ``NAME=`` takes one back. Raises FieldError."""
        manifest = self
        for word in words:
            name, equals, text = word.partition("=")
            if not equals or name not in {*_OF_TEMPLATE, *_IN_SPEC}:
                names = ", ".join(sorted([*_OF_TEMPLATE, *_IN_SPEC]))
                raise FieldError(f"{word!r} is no NAME=VALUE with a name of {names}")
            if name in _IN_SPEC:
                kept = {key: value for key, value in manifest.spec.items() if key != name}
                manifest = replace(manifest, spec={**kept, **({name: _value(text)} if text else {})})
            else:
                given: dict[str, Any] = {name: _value(text) if text else getattr(_FIRST, name)}
                manifest = replace(manifest, **given)
        return manifest

    def rendered(self) -> Json:
        """Return the fleet as it is applied."""
        spec: Json = {**self.spec, "selector": {"matchLabels": {"app": self.selector}}, "template": self._template()}
        bounds = {"maxSurge": self.surge, "maxUnavailable": self.unavailable}
        rolling = {name: bound for name, bound in bounds.items() if bound is not None}
        strategy = {"type": self.strategy, "rollingUpdate": rolling or None, "rollbackOnFailure": self.rollback}
        if strategy := {name: value for name, value in strategy.items() if value is not None}:
            spec |= {"strategy": strategy}
        recovery = {"graceSeconds": self.grace, "maxRebuilds": self.rebuilds}
        if recovery := {name: value for name, value in recovery.items() if value is not None}:
            spec |= {"recovery": recovery}
        warm_up = {"enabled": self.warm, "timeoutSeconds": self.patience}
        if warm_up := {name: value for name, value in warm_up.items() if value is not None}:
            spec |= {"warmUp": warm_up}
        if self.weight is not None:
            spec |= {"route": {"weight": self.weight}}
        labels = {} if self.model is None else {MODEL_LABEL: self.model}
        meta = {"name": FLEET_NAME, "labels": labels}
        return {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind, "metadata": meta, "spec": spec}

    def _template(self) -> Json:
        container: Json = {"name": "ray", "image": self.image}
        if self.gpus is not None:
            container |= {"resources": {"limits": {"nvidia.com/gpu": self.gpus}}}
        group = {"template": {"spec": {"containers": [container]}}}
        spec: Json = {"headGroupSpec": group}
        if self.workers is not None:
            bounds = dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), self.workers)
            spec |= {"workerGroupSpecs": [{"groupName": "workers", **bounds, **group}]}
        return {"metadata": {"labels": {"app": "x"}}, "spec": spec}


_FIRST = Manifest()
_OF_TEMPLATE = frozenset(each.name for each in fields(Manifest)) - {"spec"}


def _value(text: str) -> Value:
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if text.isdecimal() else text
