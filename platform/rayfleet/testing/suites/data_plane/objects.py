"""The objects that a suite's plane serves: routes, Services, EndpointSlices and grants, as Kubernetes has them.

Pure.
"""

from collections.abc import Mapping, Sequence

from rayfleet.model.json import Json

NAMESPACE, OTHER = "data-plane", "data-plane-models"
GATEWAY_API = "gateway.networking.k8s.io"
SERVICE_PORT = 8000
PATHS = ("/v1/completions", "/v1/chat/completions")
Address = tuple[str, int]


def service(name: str, namespace: str = NAMESPACE) -> Json:
    """Return a Service whose endpoints nobody but the suite writes."""
    spec = {"ports": [{"name": "serve", "port": SERVICE_PORT, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def endpoint_slice(
    name: str, number: int, address: Address, *, namespace: str = NAMESPACE, is_ready: bool = True
) -> Json:
    """Return a slice with one address; each has a port of its own, so that each needs a slice of its own."""
    host, port = address
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{number}",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "serve", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [host], "conditions": {"ready": is_ready}}],
    }


def served(
    name: str, addresses: Sequence[Address], *, namespace: str = NAMESPACE, is_ready: bool = True
) -> tuple[Json, ...]:
    """Return a Service and its endpoints."""
    slices = (
        endpoint_slice(name, number, address, namespace=namespace, is_ready=is_ready)
        for number, address in enumerate(addresses)
    )
    return (service(name, namespace), *slices)


def backend(name: str, **more: object) -> Json:
    """Return a reference to a Service."""
    return {"name": name, "port": SERVICE_PORT, **more}


def matching(path: str = "/", kind: str = "PathPrefix", *, model: str = "", **more: object) -> Json:
    """Return a match; ``model`` is one of its headers, ``more`` are other fields."""
    headers = [{"name": "model", "value": model}] if model else []
    given = more.pop("headers", ())
    assert isinstance(given, Sequence)
    return {"path": {"type": kind, "value": path}, "headers": [*headers, *given], **more}


def rule(*matches: Json, to: str | Sequence[Json] = (), **more: object) -> Json:
    """Return a rule; ``to`` is the name of its one Service, or its backends."""
    backends = [backend(to)] if isinstance(to, str) else list(to)
    return {"matches": list(matches), "backendRefs": backends, **more}


def route(name: str, *rules: Json, hostnames: Sequence[str] = (), namespace: str = NAMESPACE) -> Json:
    """Return an HTTPRoute of a Gateway that is not there, which a gateway of ours serves."""
    spec: Json = {"parentRefs": [{"name": "data-plane"}], "rules": list(rules)}
    if hostnames:
        spec["hostnames"] = list(hostnames)
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{GATEWAY_API}/v1", "kind": "HTTPRoute", "metadata": meta, "spec": spec}


def grant(name: str, *, of: str, to: str, services: Sequence[str] = ()) -> Json:
    """Return a leave for routes of a namespace to use Services of another, all or those named."""
    targets: list[Mapping[str, str]] = [{"group": "", "kind": "Service", "name": each} for each in services]
    spec = {
        "from": [{"group": GATEWAY_API, "kind": "HTTPRoute", "namespace": of}],
        "to": targets or [{"group": "", "kind": "Service"}],
    }
    meta = {"name": name, "namespace": to}
    return {"apiVersion": f"{GATEWAY_API}/v1beta1", "kind": "ReferenceGrant", "metadata": meta, "spec": spec}
