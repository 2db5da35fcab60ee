"""Tables of the built-in kinds, column by column as kubectl users know them. Pure.

Source: Kubernetes ``pkg/printers/internalversion/printers.go`` (v1.36); pods have a file of their own.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rayfleet.local.apiserver.grammar.ages import age_since
from rayfleet.local.apiserver.kinds.builtin.pod_printer import POD_PRINTER
from rayfleet.local.apiserver.kinds.kind import Column, Printer
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.conditions import condition_of
from rayfleet.objects.meta import labels_of, name_of

NAME = Column(name="Name", type="string", format="name", description="Name must be unique within a namespace.")
AGE = Column(name="Age", type="string", description="Time since the object was created.")
_NONE = "<none>"
_OLD_ROLE = "kubernetes.io/role"
_PLAIN = Printer(columns=(NAME,), cells=lambda manifest, _now: [manifest["metadata"].get("name", "")])
Cells = Callable[[ReadOnlyJson, datetime], list[object]]


def printers() -> Mapping[str, Printer]:
    """Return the printer of each built-in kind."""
    return {
        "ConfigMap": _printer(["Data"], _config_map),
        "CustomResourceDefinition": Printer(columns=(NAME, Column(name="Created At", type="date")), cells=_crd),
        "EndpointSlice": _printer(["AddressType", "Ports", "Endpoints"], _endpoint_slice),
        "Event": _event_printer(),
        "Lease": _printer(["Holder"], _lease),
        "Namespace": _printer(["Status"], _namespace),
        "Node": _printer(
            ["Status", "Roles"],
            _node,
            after=["Version"],
            wide=["Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"],
        ),
        "Pod": POD_PRINTER,
        "PodDisruptionBudget": Printer(
            columns=(
                NAME,
                _text("Min Available"),
                _text("Max Unavailable"),
                Column(name="Allowed Disruptions", type="integer"),
                AGE,
            ),
            cells=_budget,
        ),
        "Secret": _printer(["Type", "Data"], _secret),
        "Service": _printer(["Type", "Cluster-IP", "External-IP", "Port(s)"], _service, wide=["Selector"]),
        "SelfSubjectAccessReview": _PLAIN,
        "SelfSubjectReview": _PLAIN,
        "SelfSubjectRulesReview": _PLAIN,
        "ServiceAccount": _printer([], _service_account),
    }


def _text(name: str, priority: int = 0) -> Column:
    return Column(name=name, type="string", priority=priority)


def _printer(
    names: list[str], cells: Cells, *, after: list[str] | None = None, wide: list[str] | None = None
) -> Printer:
    columns = [NAME, *map(_text, names), AGE, *map(_text, after or ()), *(_text(each, 1) for each in wide or ())]
    return Printer(columns=tuple(columns), cells=cells)


def _age(manifest: ReadOnlyJson, now: datetime) -> str:
    return age_since(manifest["metadata"].get("creationTimestamp"), now)


def _name(manifest: ReadOnlyJson) -> str:
    return name_of(manifest)


def _config_map(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    count = len(manifest.get("data") or {}) + len(manifest.get("binaryData") or {})
    return [_name(manifest), count, _age(manifest, now)]


def _budget(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    spec, status = manifest["spec"], manifest.get("status", {})
    bounds = [str(spec.get(name, "N/A")) for name in ("minAvailable", "maxUnavailable")]
    return [_name(manifest), *bounds, status.get("disruptionsAllowed", 0), _age(manifest, now)]


def _crd(manifest: ReadOnlyJson, _now: datetime) -> list[object]:
    return [_name(manifest), manifest["metadata"].get("creationTimestamp", "")]


def _namespace(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    return [_name(manifest), manifest.get("status", {}).get("phase", ""), _age(manifest, now)]


def _secret(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    return [_name(manifest), manifest.get("type", ""), len(manifest.get("data") or {}), _age(manifest, now)]


def _service_account(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    return [_name(manifest), _age(manifest, now)]


def _lease(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    return [_name(manifest), (manifest.get("spec") or {}).get("holderIdentity") or "", _age(manifest, now)]


def _node(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    status = manifest.get("status") or {}
    ready = condition_of(manifest, "Ready")
    shown = ("Ready" if ready.get("status") == "True" else "NotReady") if ready else "Unknown"
    if manifest["spec"].get("unschedulable"):
        shown += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    labels = labels_of(manifest)
    roles = {name.removeprefix(prefix) for name in labels if name.startswith(prefix)} | {labels.get(_OLD_ROLE, "")}
    info = status.get("nodeInfo") or {}
    return [
        _name(manifest),
        shown,
        ",".join(sorted(roles - {""})) or _NONE,
        _age(manifest, now),
        info.get("kubeletVersion", ""),
        _node_address(status, "InternalIP"),
        _node_address(status, "ExternalIP"),
        info.get("osImage") or "<unknown>",
        (info.get("kernelVersion") or "<unknown>") + (f" ({info['architecture']})" if info.get("architecture") else ""),
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _node_address(status: ReadOnlyJson, kind: str) -> str:
    addresses = [each.get("address", "") for each in status.get("addresses") or () if each.get("type") == kind]
    return addresses[0] if addresses else _NONE


def _service(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    spec = manifest["spec"]
    external = ",".join(spec.get("externalIPs") or ()) or _NONE
    if spec["type"] == "ExternalName":
        external = spec.get("externalName", "")
    elif spec["type"] == "LoadBalancer":
        external = _load_balancer(manifest, spec)
    ports = ",".join(_service_port(each) for each in spec.get("ports") or ()) or _NONE
    cluster = spec.get("clusterIP") or _NONE
    return [_name(manifest), spec["type"], cluster, external, ports, _age(manifest, now), _labels(spec.get("selector"))]


def _load_balancer(manifest: ReadOnlyJson, spec: ReadOnlyJson) -> str:
    ingress = ((manifest.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = [each.get("ip") or each.get("hostname") or "" for each in ingress] + [*(spec.get("externalIPs") or ())]
    return ",".join(filter(None, addresses)) or "<pending>"


def _service_port(port: ReadOnlyJson) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}"


def _endpoint_slice(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    ports = [str(each.get("port") or each.get("name") or "*") for each in manifest.get("ports") or ()]
    addresses = [address for each in manifest.get("endpoints") or () for address in each.get("addresses") or ()]
    return [
        _name(manifest),
        manifest.get("addressType", ""),
        _shortened(ports) if ports else "<unset>",
        _shortened(addresses) if addresses else "<unset>",
        _age(manifest, now),
    ]


def _shortened(values: list[str], most: int = 3) -> str:
    more = len(values) - most
    return ",".join(values[:most]) + (f" + {more} more..." if more > 0 else "")


def _labels(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or _NONE


def _event_printer() -> Printer:
    columns = (
        _text("Last Seen"),
        _text("Type"),
        _text("Reason"),
        _text("Object"),
        _text("Subobject", 1),
        _text("Source", 1),
        _text("Message"),
        _text("First Seen", 1),
        _text("Count", 1),
        Column(name="Name", type="string", format="name", priority=1),
    )
    return Printer(columns=columns, cells=_event)


def _event(manifest: ReadOnlyJson, now: datetime) -> list[object]:
    series = manifest.get("series") or {}
    first = manifest.get("firstTimestamp") or manifest.get("eventTime")
    last = series.get("lastObservedTime") or manifest.get("lastTimestamp") or first
    about: Json = manifest.get("involvedObject") or {}
    source: Json = manifest.get("source") or {}
    component = source.get("component") or manifest.get("reportingComponent") or ""
    host = source.get("host") or manifest.get("reportingInstance") or ""
    count: Any = series.get("count") or manifest.get("count") or 1
    return [
        age_since(last, now),
        manifest.get("type", ""),
        manifest.get("reason", ""),
        "/".join(filter(None, (about.get("kind", "").lower(), about.get("name")))),
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (manifest.get("message") or "").strip(),
        age_since(first, now),
        count,
        _name(manifest),
    ]
