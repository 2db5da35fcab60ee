"""What the benchmark routes: a model is a route, a Service and a slice of the same name."""

from rayfleet.model.json import Json

NAMESPACE = "default"


def route(model: str) -> Json:
    """Return the HTTPRoute of a model."""
    match = {
        "headers": [{"type": "Exact", "name": "model", "value": model}],
        "path": {"type": "PathPrefix", "value": "/v1/completions"},
    }
    rule = {"matches": [match], "backendRefs": [{"name": model, "port": 8000}]}
    spec = {"parentRefs": [{"name": "rayfleet"}], "rules": [rule]}
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", model) | {"spec": spec}


def service(model: str) -> Json:
    """Return its Service."""
    ports = [{"name": "serve", "port": 8000, "protocol": "TCP"}]
    return _object("v1", "Service", model) | {"spec": {"ports": ports}}


def slice_(model: str, port: int) -> Json:
    """Return its endpoints: one, on loopback, that is ready."""
    labelled = _object("discovery.k8s.io/v1", "EndpointSlice", model)
    labelled["metadata"] |= {"labels": {"kubernetes.io/service-name": model}}
    return labelled | {
        "addressType": "IPv4",
        "ports": [{"name": "serve", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
    }


def _object(version: str, kind: str, name: str) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}}
