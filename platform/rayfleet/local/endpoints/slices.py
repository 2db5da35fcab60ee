"""The EndpointSlice of a Service. Pure.

Source: Kubernetes v1.36 staging/src/k8s.io/endpointslice (utils.go, reconciler.go). One slice per Service and IPv4
only: a Service here has a handful of pods. Where pods give a named target port different numbers, Kubernetes makes a
slice for each; here the first pod's number holds.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from rayfleet.model.json import ReadOnlyJson

MANAGER = "endpointslice-controller.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by"
HEADLESS_LABEL = "service.kubernetes.io/headless"
_RESERVED = frozenset({SERVICE_LABEL, MANAGER_LABEL, HEADLESS_LABEL})


def slice_name(service: str) -> str:
    """Return the slice's name: as random ones look, but the same each time, so that a repeated create is harmless."""
    return f"{service}-{hashlib.sha256(service.encode()).hexdigest()[:5]}"


def endpoint_slice(service: ReadOnlyJson, pods: Sequence[ReadOnlyJson]) -> dict[str, Any] | None:
    """Return the slice for a Service and the pods of its namespace.

    None for a Service without a selector or of another name.

    Pods without an address, and those that have run to their end, are not in it.
    """
    spec, meta = service["spec"], service["metadata"]
    selector = spec.get("selector")
    if not selector or spec.get("type") == "ExternalName":
        return None
    chosen = sorted((pod for pod in pods if _is_chosen(pod, selector)), key=lambda pod: str(pod["metadata"]["name"]))
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(meta["name"]),
            "namespace": meta["namespace"],
            "labels": _labels(service),
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": meta["name"],
                    "uid": meta["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
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
    selector: Mapping[str, str] = (service.get("spec") or {}).get("selector") or {}
    return bool(selector) and selector.items() <= labels.items()


def _labels(service: ReadOnlyJson) -> dict[str, str]:
    meta = service["metadata"]
    found = {key: value for key, value in (meta.get("labels") or {}).items() if key not in _RESERVED}
    if service["spec"].get("clusterIP", "") in {"", "None"}:
        found[HEADLESS_LABEL] = ""
    return found | {SERVICE_LABEL: meta["name"], MANAGER_LABEL: MANAGER}


def _is_chosen(pod: ReadOnlyJson, selector: Mapping[str, str]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    status = pod.get("status") or {}
    has_ended = status.get("phase") in {"Succeeded", "Failed"}
    return selector.items() <= labels.items() and bool(status.get("podIP")) and not has_ended


def _endpoint(service: ReadOnlyJson, pod: ReadOnlyJson) -> dict[str, Any]:
    """Return one endpoint; one that terminates is not ready, unless the Service publishes whatever there is."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    is_serving = any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
    is_terminating = "deletionTimestamp" in pod["metadata"]
    publishes_all = bool(service["spec"].get("publishNotReadyAddresses"))
    found: dict[str, Any] = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": publishes_all or (is_serving and not is_terminating),
            "serving": is_serving,
            "terminating": is_terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": pod["metadata"]["namespace"],
            "name": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"],
        },
    }
    if pod["spec"].get("nodeName"):
        found["nodeName"] = pod["spec"]["nodeName"]
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == service["metadata"]["name"]:
        found["hostname"] = pod["spec"]["hostname"]
    return found


def _ports(spec: ReadOnlyJson, pods: Sequence[ReadOnlyJson]) -> list[dict[str, Any]]:
    """Return the ports that the pods have; none without pods, as in Kubernetes, where ports are found pod by pod."""
    found = []
    for entry in spec.get("ports") or () if pods else ():
        number = _target(entry, pods)
        if number is None:
            continue
        port: dict[str, Any] = {"name": entry.get("name", ""), "port": number, "protocol": entry.get("protocol", "TCP")}
        if entry.get("appProtocol"):
            port["appProtocol"] = entry["appProtocol"]
        found.append(port)
    return found


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
