"""The EndpointSlice of a Service. Pure. Source: Kubernetes, endpointslice controller (v1.36); one slice per Service, IPv4 only."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

JsonObject = Mapping[str, Any]

MANAGER = "endpointslice-controller.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"


def slice_name(service: str) -> str:
    """Return the slice's name: deterministic, so that a repeated create is harmless."""
    return f"{service[:57]}-{hashlib.sha256(service.encode()).hexdigest()[:5]}"


def endpoint_slice(service: JsonObject, pods: Sequence[JsonObject]) -> dict[str, Any] | None:
    """Return the slice for a Service and the pods of its namespace; None for a Service without a selector.

    Pods without an address, and those that have run to their end, are not in it.
    """
    selector = (service.get("spec") or {}).get("selector")
    if not selector:
        return None
    meta = service["metadata"]
    chosen = [pod for pod in pods if _is_chosen(pod, selector)]
    publishes_unready = bool(service["spec"].get("publishNotReadyAddresses"))
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(meta["name"]),
            "namespace": meta["namespace"],
            "labels": {
                **(meta.get("labels") or {}),
                SERVICE_LABEL: meta["name"],
                "endpointslice.kubernetes.io/managed-by": MANAGER,
            },
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
        "endpoints": [_endpoint(pod, publishes_unready=publishes_unready) for pod in sorted(chosen, key=_name)],
        "ports": _ports(service, chosen),
    }


def is_same_slice(old: JsonObject, new: JsonObject) -> bool:
    """Whether a stored slice says what the new one says."""
    labels = old["metadata"].get("labels") or {}
    return (
        all(labels.get(key) == value for key, value in new["metadata"]["labels"].items())
        and (old.get("endpoints") or []) == new["endpoints"]
        and (old.get("ports") or []) == new["ports"]
    )


def _is_chosen(pod: JsonObject, selector: Mapping[str, str]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    status = pod.get("status") or {}
    return (
        selector.items() <= labels.items()
        and bool(status.get("podIP"))
        and status.get("phase") not in {"Succeeded", "Failed"}
    )


def _endpoint(pod: JsonObject, *, publishes_unready: bool) -> dict[str, Any]:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    is_serving = any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
    is_terminating = "deletionTimestamp" in pod["metadata"]
    found: dict[str, Any] = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": publishes_unready or (is_serving and not is_terminating),
            "serving": publishes_unready or is_serving,
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
    return found


def _ports(service: JsonObject, pods: Sequence[JsonObject]) -> list[dict[str, Any]]:
    found = []
    for entry in service["spec"].get("ports") or ():
        number = _target(entry, pods)
        if number is None:
            continue
        port: dict[str, Any] = {"name": entry.get("name", ""), "port": number, "protocol": entry.get("protocol", "TCP")}
        if entry.get("appProtocol"):
            port["appProtocol"] = entry["appProtocol"]
        found.append(port)
    return found


def _target(entry: JsonObject, pods: Sequence[JsonObject]) -> int | None:
    """Return the number of a target port; a named one is looked up in the first pod that has it."""
    target = entry.get("targetPort", entry["port"])
    if isinstance(target, int):
        return target or int(entry["port"])
    for pod in pods:
        for container in pod["spec"]["containers"]:
            for port in container.get("ports") or ():
                if port.get("name") == target:
                    return int(port["containerPort"])
    return None


def _name(pod: JsonObject) -> str:
    return str(pod["metadata"]["name"])
