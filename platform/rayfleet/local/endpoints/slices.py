"""The EndpointSlice of a Service. Pure.

Source: Kubernetes v1.36 staging/src/k8s.io/endpointslice (utils.go, reconciler.go). One slice for each set of port
numbers (pods may give a named target port different ones) and IPv4 only: a Service here has a handful of pods.
"""

import hashlib
from collections.abc import Mapping, Sequence

import orjson

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import SERVICES
from rayfleet.objects.labels import HEADLESS_SERVICE_LABEL, SERVICE_NAME_LABEL, SLICE_MANAGER_LABEL
from rayfleet.objects.meta import is_terminating, labels_of, name_of, namespace_of, uid_of
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.pods import is_finished, is_ready, node_name, pod_address
from rayfleet.objects.selectors import has_all
from rayfleet.objects.services import service_selector

MANAGER = "endpointslice-controller.k8s.io"
_RESERVED = frozenset({SERVICE_NAME_LABEL, SLICE_MANAGER_LABEL, HEADLESS_SERVICE_LABEL})


def slice_name(content: str, service: str = "") -> str:
    """Return a slice's name: as random ones look, but the same each time, so that a repeated create is harmless.

    Without ``service`` the content is the Service's name: the main slice.
    """
    return f"{service or content}-{hashlib.sha256(content.encode()).hexdigest()[:5]}"


def endpoint_slices(
    service: ReadOnlyJson, pods: Sequence[ReadOnlyJson], main: ReadOnlyJson | None = None
) -> tuple[Json, ...]:
    """Return the slices for a Service and the pods of its namespace; the main one, which is always there, last.

    None for a Service without a selector, or one that only names another host (``ExternalName``). Pods without an
    address, and those that have run to their end, are not in them. ``main`` is the main slice as it stands: it keeps
    its ports while pods have them, so that no endpoint is ever in no slice.
    """
    selector = service_selector(service)
    if not selector or service["spec"].get("type") == "ExternalName":
        return ()
    by_ports: dict[bytes, list[ReadOnlyJson]] = {}
    for pod in sorted((pod for pod in pods if _is_chosen(pod, selector)), key=name_of):
        by_ports.setdefault(orjson.dumps(_ports(service["spec"], pod)), []).append(pod)
    kept = orjson.dumps((main or {}).get("ports") or [])
    first = kept if kept in by_ports else max(by_ports, key=lambda ports: len(by_ports[ports]), default=b"[]")
    others = [
        _slice(service, slice_name(f"{name_of(service)}/{ports.decode()}", name_of(service)), ports, chosen)
        for ports, chosen in by_ports.items()
        if ports != first
    ]
    return (*others, _slice(service, slice_name(name_of(service)), first, by_ports.get(first, [])))


def _slice(service: ReadOnlyJson, name: str, ports: bytes, pods: Sequence[ReadOnlyJson]) -> Json:
    meta = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": _labels(service),
            "ownerReferences": [controller_reference(SERVICES, meta["name"], meta["uid"])],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(service, pod) for pod in pods],
        "ports": orjson.loads(ports),
    }


def is_same_slice(old: ReadOnlyJson, new: ReadOnlyJson) -> bool:
    """Whether a stored slice says what the new one says."""
    return (
        all((old["metadata"].get(field) or {}) == new["metadata"][field] for field in ("labels", "ownerReferences"))
        and (old.get("endpoints") or []) == new["endpoints"]
        and (old.get("ports") or []) == new["ports"]
    )


def selects(service: ReadOnlyJson, labels: Mapping[str, str]) -> bool:
    """Whether a Service takes pods with these labels."""
    selector = service_selector(service)
    return bool(selector) and has_all(selector, labels)


def _labels(service: ReadOnlyJson) -> dict[str, str]:
    labels = {name: value for name, value in labels_of(service).items() if name not in _RESERVED}
    if service["spec"].get("clusterIP", "") in {"", "None"}:
        labels[HEADLESS_SERVICE_LABEL] = ""
    return labels | {SERVICE_NAME_LABEL: name_of(service), SLICE_MANAGER_LABEL: MANAGER}


def _is_chosen(pod: ReadOnlyJson, selector: Mapping[str, str]) -> bool:
    return has_all(selector, labels_of(pod)) and bool(pod_address(pod)) and not is_finished(pod)


def _endpoint(service: ReadOnlyJson, pod: ReadOnlyJson) -> Json:
    """Return one endpoint; one that terminates is not ready, unless the Service publishes whatever there is."""
    is_serving, is_going = is_ready(pod), is_terminating(pod)
    publishes_all = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Json = {
        "addresses": [pod_address(pod)],
        "conditions": {
            "ready": publishes_all or (is_serving and not is_going),
            "serving": is_serving,
            "terminating": is_going,
        },
        "targetRef": {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)},
    }
    if node_name(pod):
        endpoint["nodeName"] = node_name(pod)
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == name_of(service):
        endpoint["hostname"] = pod["spec"]["hostname"]
    return endpoint


def _ports(spec: ReadOnlyJson, pod: ReadOnlyJson) -> list[Json]:
    """Return the ports that a pod has: those of the Service whose target it knows."""
    ports = []
    for entry in spec.get("ports") or ():
        number = _target(entry, pod)
        if number is None:
            continue
        port: Json = {"name": entry.get("name", ""), "port": number, "protocol": entry.get("protocol", "TCP")}
        if entry.get("appProtocol"):
            port["appProtocol"] = entry["appProtocol"]
        ports.append(port)
    return ports


def _target(entry: ReadOnlyJson, pod: ReadOnlyJson) -> int | None:
    """Return the number of a target port; a named one is looked up in the pod, None when it has none."""
    target = entry.get("targetPort") or entry["port"]
    if isinstance(target, int):
        return target
    protocol = entry.get("protocol", "TCP")
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None
