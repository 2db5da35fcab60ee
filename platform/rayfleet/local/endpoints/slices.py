"""The EndpointSlice of a Service. Pure.

Source: Kubernetes v1.36 staging/src/k8s.io/endpointslice (utils.go, reconciler.go). One slice per Service and IPv4
only: a Service here has a handful of pods. Where pods give a named target port different numbers, Kubernetes makes a
slice for each; here the first pod's number holds.
"""

import hashlib
from collections.abc import Mapping, Sequence

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


def slice_name(service: str) -> str:
    """Return the slice's name: as random ones look, but the same each time, so that a repeated create is harmless."""
    return f"{service}-{hashlib.sha256(service.encode()).hexdigest()[:5]}"


def endpoint_slice(service: ReadOnlyJson, pods: Sequence[ReadOnlyJson]) -> Json | None:
    """Return the slice for a Service and the pods of its namespace.

    None for a Service without a selector, or one that only names another host (``ExternalName``). Pods without an
    address, and those that have run to their end, are not in it.
    """
    spec, meta = service["spec"], service["metadata"]
    selector = spec.get("selector")
    if not selector or spec.get("type") == "ExternalName":
        return None
    chosen = sorted((pod for pod in pods if _is_chosen(pod, selector)), key=name_of)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(meta["name"]),
            "namespace": meta["namespace"],
            "labels": _labels(service),
            "ownerReferences": [controller_reference(SERVICES, meta["name"], meta["uid"])],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(service, pod) for pod in chosen],
        "ports": _ports(spec, chosen),
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


def _ports(spec: ReadOnlyJson, pods: Sequence[ReadOnlyJson]) -> list[Json]:
    """Return the ports that the pods have; none without pods, as in Kubernetes, where ports are found pod by pod."""
    ports = []
    for entry in spec.get("ports") or () if pods else ():
        number = _target(entry, pods)
        if number is None:
            continue
        port: Json = {"name": entry.get("name", ""), "port": number, "protocol": entry.get("protocol", "TCP")}
        if entry.get("appProtocol"):
            port["appProtocol"] = entry["appProtocol"]
        ports.append(port)
    return ports


def _target(entry: ReadOnlyJson, pods: Sequence[ReadOnlyJson]) -> int | None:
    """Return the number of a target port; a named one is looked up in the first pod that has it."""
    target = entry.get("targetPort") or entry["port"]
    if isinstance(target, int):
        return target
    protocol = entry.get("protocol", "TCP")
    for pod in pods:
        for container in pod["spec"]["containers"]:
            for port in container.get("ports") or ():
                if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                    return int(port["containerPort"])
    return None
