"""A RayCluster template in one form for all texts that mean the same to Kubernetes. Pure.

What makes no difference to any pod makes none here: ``1`` and ``"1"`` as an amount, ``1024Mi`` and ``1Gi`` and
``1073741824``, a field that is null or an empty list and one that is not there. An empty mapping says nothing only at
the places named below: an ``emptyDir: {}`` is a volume, a ``labelSelector: {}`` selects everything. So do fields that
hold what they would hold unsaid: another controller (AIBrix's, in Go) leaves them out, or an API server writes them in.
Source: the Go types of core/v1 (``omitempty``) and of KubeRay's ``raycluster_types.go`` (1.6), with their defaults.
"""

from collections.abc import Mapping
from typing import Any

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.quantity import Notation, Quantity

_AMOUNT_LISTS = frozenset({"limits", "requests", "overhead"})
_AMOUNTS = frozenset({"sizeLimit", "divisor"})
_TEXT_MAPS = frozenset({"labels", "annotations", "nodeSelector", "matchLabels", "rayStartParams"})
_SAY_NOTHING_WHEN_EMPTY = (
    _AMOUNT_LISTS
    | _TEXT_MAPS
    | {
        "affinity",
        "dnsConfig",
        "lifecycle",
        "metadata",
        "nodeAffinity",
        "podAffinity",
        "podAntiAffinity",
        "resources",
        "scaleStrategy",
        "securityContext",
    }
)
_TEXTS_UNSAID_WHEN_EMPTY = (  # texts and no pointers to one: those may mean something when they are empty
    "dnsPolicy",
    "effect",
    "hostname",
    "imagePullPolicy",
    "nodeName",
    "priorityClassName",
    "rayVersion",
    "restartPolicy",
    "schedulerName",
    "serviceAccount",
    "serviceAccountName",
    "serviceType",
    "subPath",
    "subPathExpr",
    "subdomain",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "value",
    "workingDir",
)
_UNSAID: Mapping[str, Any] = {
    **dict.fromkeys(_TEXTS_UNSAID_WHEN_EMPTY, ""),
    "protocol": "TCP",
    "numOfHosts": 1,
    "replicas": 0,
    "minReplicas": 0,
    "maxReplicas": 2**31 - 1,
    "initialDelaySeconds": 0,
    "hostPort": 0,
    "hostNetwork": False,
    "hostPID": False,
    "hostIPC": False,
    "readOnly": False,
    "stdin": False,
    "stdinOnce": False,
    "tty": False,
    "suspend": False,
    "timeoutSeconds": 0,
    "periodSeconds": 0,
    "successThreshold": 0,
    "failureThreshold": 0,
}
"""What a field holds that nobody wrote. ``replicas`` of a worker group is held to ``minReplicas`` in either case."""


def normal_form(part: ReadOnlyJson) -> Json:
    """Return ``part`` (a RayCluster's spec, or metadata) as all texts of the same meaning have it; a new value."""
    normal = ((name, _normal(name, value)) for name, value in part.items())
    return {name: value for name, value in normal if not _says_nothing(name, value)}


def normal_amount(value: Any) -> Any:
    """Return an amount in one notation for all that are equal (``"1Gi"``); what is no amount stays as it is."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        amount = Quantity.parse(value).amount
    except ValueError:
        return value
    return str(Quantity(amount, Notation.DECIMAL if amount % 1024 else Notation.BINARY))


def normal_text(value: Any) -> Any:
    """Return a number or truth value as the text that a YAML author meant: ``"1"``, ``"true"``."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _normal(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _normal_mapping(name, value)
    if isinstance(value, list):
        return [_normal_item(name, item) for item in value]
    return normal_amount(value) if name in _AMOUNTS else value


def _normal_mapping(name: str, value: Json) -> Json:
    if name in _AMOUNT_LISTS and all(not isinstance(each, dict | list) for each in value.values()):
        return {each: normal_amount(amount) for each, amount in value.items() if amount is not None}
    if name in _TEXT_MAPS and all(not isinstance(each, dict | list) for each in value.values()):
        return {each: normal_text(text) for each, text in value.items() if text is not None}
    return normal_form(value)


def _normal_item(name: str, item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return normal_form({**item, "value": normal_text(item["value"])} if name == "env" and "value" in item else item)


def _says_nothing(name: str, value: Any) -> bool:
    if value is None or value == []:
        return True
    if value == {}:
        return name in _SAY_NOTHING_WHEN_EMPTY
    unsaid = _UNSAID.get(name)
    return unsaid is not None and type(value) is type(unsaid) and value == unsaid
