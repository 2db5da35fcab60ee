"""A script beside Prometheus that writes files of targets: Debian's build of it has no discovery of Kubernetes.

The targets have the labels that Prometheus' own discovery gives them, as far as the relabelings of monitors read them.
Source: Prometheus, ``discovery/kubernetes`` (pod.go, endpoints.go).
"""

import json
import re
import ssl
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

META = "__meta_kubernetes"
PERIOD_SECONDS = 2.0
LIMIT_SECONDS = 10.0

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_API = "https://kubernetes.default.svc/api/v1"


def pod_targets(pods: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Yield a target for each port of a container of a pod that has an address."""
    for pod in pods:
        address = pod["status"].get("podIP", "")
        for container in pod["spec"]["containers"] if address else ():
            for port in container.get("ports", ()):
                yield _target(address, port["containerPort"], {**_of_pod(pod), **_of_port(container, port)})


def endpoint_targets(
    endpoints: Sequence[Any], services: Sequence[Any], pods: Sequence[Any]
) -> Iterator[dict[str, Any]]:
    """Yield a target for each address and port behind a Service, with the labels of Service and pod."""
    services_by_key = {_key(each): each for each in services}
    pods_by_key = {_key(each): each for each in pods}
    for each in endpoints:
        service = services_by_key.get(_key(each))
        for subset in each.get("subsets") or ():
            for address in (*subset.get("addresses", ()), *subset.get("notReadyAddresses", ())):
                pod = pods_by_key.get((each["metadata"]["namespace"], address.get("targetRef", {}).get("name", "")))
                for port in subset.get("ports", ()):
                    labels = {f"{META}_endpoint_port_name": port.get("name", "")}
                    labels |= _of_service(service) if service else {}
                    labels |= _of_pod_behind(pod, port["port"]) if pod else {}
                    yield _target(address["ip"], port["port"], labels)


def main() -> None:
    """Write the files again and again, into the folder that is given."""
    folder = Path(sys.argv[1])
    while True:
        pods, services, endpoints = (_listed(plural) for plural in ("pods", "services", "endpoints"))
        _write(folder / "pod.json", list(pod_targets(pods)))
        _write(folder / "endpoints.json", list(endpoint_targets(endpoints, services, pods)))
        time.sleep(PERIOD_SECONDS)


def _target(address: str, port: int, labels: Mapping[str, str]) -> dict[str, Any]:
    return {"targets": [f"{address}:{port}"], "labels": dict(labels)}


def _of_pod(pod: Any) -> dict[str, str]:
    meta = pod["metadata"]
    names = {
        f"{META}_namespace": meta["namespace"],
        f"{META}_pod_name": meta["name"],
        f"{META}_pod_phase": pod["status"].get("phase", ""),
    }
    return names | _labels("pod", meta)


def _of_pod_behind(pod: Any, number: int) -> dict[str, str]:
    ports = ((each, port) for each in pod["spec"]["containers"] for port in each.get("ports", ()))
    found = (_of_port(each, port) for each, port in ports if port["containerPort"] == number)
    return _of_pod(pod) | next(found, {})


def _of_port(container: Any, port: Any) -> dict[str, str]:
    return {
        f"{META}_pod_container_name": container["name"],
        f"{META}_pod_container_port_name": port.get("name", ""),
    }


def _of_service(service: Any) -> dict[str, str]:
    meta = service["metadata"]
    return {f"{META}_namespace": meta["namespace"], f"{META}_service_name": meta["name"]} | _labels("service", meta)


def _labels(what: str, meta: Any) -> dict[str, str]:
    made: dict[str, str] = {}
    for name, value in meta.get("labels", {}).items():
        label = re.sub(r"\W", "_", name)
        made |= {f"{META}_{what}_label_{label}": value, f"{META}_{what}_labelpresent_{label}": "true"}
    return made


def _key(manifest: Any) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _listed(plural: str) -> list[Any]:
    token = (_ACCOUNT / "token").read_text(encoding="ascii")
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{_API}/{plural}", headers=headers)  # noqa: S310 - it is https
    context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=LIMIT_SECONDS, context=context) as response:  # noqa: S310 - as above
        items: list[Any] = json.load(response)["items"]
        return items


def _write(file: Path, targets: list[dict[str, Any]]) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(targets), encoding="utf-8")
    partial.rename(file)


if __name__ == "__main__":
    main()
