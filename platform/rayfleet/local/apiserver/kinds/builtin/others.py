"""The smaller built-in kinds: defaults, what the registry sets, what is checked. Pure.

Source: Kubernetes ``pkg/apis/*/validation`` and ``pkg/registry`` (v1.36).
"""

import base64
import ipaddress
from datetime import datetime
from typing import Any

from rayfleet.local.apiserver.grammar.names import data_key_problem, label_name_problem
from rayfleet.local.apiserver.grammar.refusal import (
    Cause,
    duplicate,
    forbidden,
    forbidden_field,
    invalid,
    required,
    too_long,
    unsupported,
)
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.times import encode_time

_IMMORTAL_NAMESPACES = ("default", "kube-public", "kube-system")
_NAME_LABEL = "kubernetes.io/metadata.name"
_MOST_BYTES = 1 << 20  # of a Secret or ConfigMap
_MOST_ADDRESSES = 100
_MOST_ENDPOINTS = 1000
_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
_NODE_INFO = [
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
]


def default_nothing(_manifest: Json) -> None:
    """Fill in nothing."""


def default_namespace(namespace: Json) -> None:
    """Fill in the label that selectors use, in place."""
    namespace.setdefault("spec", {})
    namespace.setdefault("status", {}).setdefault("phase", "Active")
    if name := namespace["metadata"].get("name"):
        namespace["metadata"].setdefault("labels", {})[_NAME_LABEL] = name


def prepare_namespace(new: Json, old: ReadOnlyJson | None) -> None:
    """Set what only the server decides: phase and finalizers."""
    if old is None:
        new["status"] = {"phase": "Active"}
        if "kubernetes" not in (new["spec"].get("finalizers") or []):
            new["spec"].setdefault("finalizers", []).append("kubernetes")
        new["metadata"].setdefault("labels", {})[_NAME_LABEL] = new["metadata"]["name"]
    else:
        new["spec"]["finalizers"] = list(old["spec"].get("finalizers") or [])
        if not new["spec"]["finalizers"]:
            del new["spec"]["finalizers"]


def marked_namespace(namespace: Json, now: datetime) -> Json:
    """Return the namespace as one that is being emptied. Raises Refusal (403) for one that every cluster has."""
    name = namespace["metadata"]["name"]
    if name in _IMMORTAL_NAMESPACES:
        raise forbidden("", "namespaces", name, "this namespace may not be deleted")
    namespace["metadata"]["deletionTimestamp"] = encode_time(now)
    namespace.setdefault("status", {})["phase"] = "Terminating"
    return namespace


def is_namespace_held(namespace: ReadOnlyJson) -> bool:
    """Whether a namespace has finalizers of its own (``spec``): it stays while it is emptied."""
    return bool(namespace["spec"].get("finalizers"))


def default_node(node: Json) -> None:
    """Fill in what a Node always shows, in place."""
    node.setdefault("spec", {})
    status = node.setdefault("status", {})
    status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
    info = status.setdefault("nodeInfo", {})
    for key in _NODE_INFO:
        info.setdefault(key, "")
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def prepare_node(new: Json, old: ReadOnlyJson | None) -> None:
    """Taint a new node as the TaintNodesByCondition admission plugin does.

    Who watches nodes' readiness takes it off.
    """
    if old is None and not any(each.get("key") == _NOT_READY["key"] for each in new["spec"].get("taints") or ()):
        new["spec"].setdefault("taints", []).append(dict(_NOT_READY))


def default_secret(secret: Json) -> None:
    """Fill in the type and write ``stringData`` into ``data``, in place."""
    secret.setdefault("type", "Opaque")
    for key, value in secret.pop("stringData", {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def secret_problems(new: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
    """Return what is wrong with a Secret."""
    data = new.get("data") or {}
    causes = [invalid(f"data[{key}]", key, problem) for key in data if (problem := data_key_problem(key))]
    if sum(len(base64.b64decode(value)) for value in data.values()) > _MOST_BYTES:
        causes.append(too_long("data", _MOST_BYTES))
    if old is not None:
        if new["type"] != old["type"]:
            causes.append(invalid("type", new["type"], "field is immutable"))
        causes += _immutable_problems(new, old, ("data",))
    return causes


def config_map_problems(new: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
    """Return what is wrong with a ConfigMap."""
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    causes = [invalid(f"data[{key}]", key, problem) for key in data if (problem := data_key_problem(key))]
    causes += [invalid(f"binaryData[{key}]", key, problem) for key in binary if (problem := data_key_problem(key))]
    causes += [invalid(f"data[{key}]", key, "duplicate of key present in binaryData") for key in data if key in binary]
    size = sum(len(value.encode()) for value in data.values()) + sum(
        len(base64.b64decode(value)) for value in binary.values()
    )
    if size > _MOST_BYTES:
        causes.append(too_long("", _MOST_BYTES))
    if old is not None:
        causes += _immutable_problems(new, old, ("data", "binaryData"))
    return causes


def default_event(event: Json) -> None:
    """Fill in what an Event always shows, in place."""
    for key, value in (("involvedObject", {}), ("source", {}), ("reportingComponent", ""), ("reportingInstance", "")):
        event.setdefault(key, value)
    for key in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(key, None)


def event_problems(new: ReadOnlyJson, _old: ReadOnlyJson | None) -> list[Cause]:
    """Return what is wrong with an Event: it lies where its object lies, in ``default`` for a cluster's object."""
    about = new["involvedObject"].get("namespace") or "default"
    if new["metadata"].get("namespace") != about:
        return [
            invalid(
                "involvedObject.namespace", new["involvedObject"].get("namespace", ""), "does not match event.namespace"
            )
        ]
    return []


def event_source(event: ReadOnlyJson) -> str:
    """Return who told of an Event, as the field label ``source`` has it."""
    return str((event.get("source") or {}).get("component") or event.get("reportingComponent") or "")


def lease_problems(new: ReadOnlyJson, _old: ReadOnlyJson | None) -> list[Cause]:
    """Return what is wrong with a Lease."""
    spec = new.get("spec") or {}
    causes: list[Cause] = []
    if spec.get("leaseDurationSeconds", 1) <= 0:
        causes.append(invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0"))
    if spec.get("leaseTransitions", 0) < 0:
        detail = "must be greater than or equal to 0"
        causes.append(invalid("spec.leaseTransitions", spec["leaseTransitions"], detail))
    return causes


def default_lease(lease: Json) -> None:
    """Show an empty spec as one, in place."""
    lease.setdefault("spec", {})


def default_endpoint_slice(slice_: Json) -> None:
    """Fill in ports and conditions, in place."""
    if slice_.get("endpoints") is None:
        slice_["endpoints"] = []
    for endpoint in slice_["endpoints"]:
        endpoint.setdefault("conditions", {})
    slice_.setdefault("ports", None)
    for port in slice_["ports"] or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def endpoint_slice_problems(new: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
    """Return what is wrong with an EndpointSlice."""
    kinds = ("FQDN", "IPv4", "IPv6")
    causes: list[Cause] = []
    kind = new.get("addressType") or ""
    if not kind:
        causes.append(required("addressType"))
    elif kind not in kinds:
        causes.append(unsupported("addressType", kind, kinds))
    if old is not None and kind != old.get("addressType"):
        causes.append(invalid("addressType", kind, "field is immutable"))
    if len(new["endpoints"]) > _MOST_ENDPOINTS:
        message = f"Too many: {len(new['endpoints'])}: must have at most {_MOST_ENDPOINTS} items"
        causes.append(Cause(field="endpoints", reason="FieldValueTooMany", message=message))
    for index, endpoint in enumerate(new["endpoints"]):
        causes += _endpoint_problems(f"endpoints[{index}]", endpoint, kind)
    names: set[str] = set()
    for index, port in enumerate(new["ports"] or ()):
        if port["name"] in names:
            causes.append(duplicate("ports.name", port["name"]))
        names.add(port["name"])
        if port["name"] and (problem := label_name_problem(port["name"])):
            causes.append(invalid(f"ports[{index}].name", port["name"], problem))
    return causes


def _endpoint_problems(field: str, endpoint: ReadOnlyJson, kind: str) -> list[Cause]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        return [required(f"{field}.addresses", "must contain at least 1 address")]
    causes: list[Cause] = []
    if len(addresses) > _MOST_ADDRESSES:
        message = f"Too many: {len(addresses)}: must have at most {_MOST_ADDRESSES} items"
        causes.append(Cause(field=f"{field}.addresses", reason="FieldValueTooMany", message=message))
    for index, address in enumerate(addresses):
        if problem := _address_problem(address, kind):
            causes.append(invalid(f"{field}.addresses[{index}]", address, problem))
    return causes


def _address_problem(address: str, kind: str) -> str:
    if kind not in ("IPv4", "IPv6"):
        return ""
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    if number.version != int(kind[-1]):
        return f"must be an {kind} address"
    # A real API server refuses loopback addresses here; on one machine they are the pods' addresses, so they are taken.
    return "may not be in the link-local range (169.254.0.0/16, fe80::/10)" if number.is_link_local else ""


def _immutable_problems(new: ReadOnlyJson, old: ReadOnlyJson, fields: tuple[str, ...]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes: list[Cause] = []
    if not new.get("immutable"):
        causes.append(forbidden_field("immutable", "field is immutable when `immutable` is set"))
    causes += [
        forbidden_field(field, "field is immutable when `immutable` is set")
        for field in fields
        if _content(new, field) != _content(old, field)
    ]
    return causes


def _content(manifest: ReadOnlyJson, field: str) -> Any:
    return manifest.get(field) or {}
