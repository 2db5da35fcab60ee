"""Services and their EndpointSlices: ports, selectors, which endpoints take requests. Pure.

Source: Kubernetes API reference v1.36, Service and EndpointSlice (``conditions.ready`` absent counts as ready,
``serving`` and ``terminating`` are not asked: an endpoint that ends takes no new request).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.labels import SERVICE_NAME_LABEL
from rayfleet.objects.meta import label
from rayfleet.objects.parts import mapping, mappings, part


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a Service; ``target`` is a number, or the name of a container's port.

    ``app_protocol`` is what is spoken there, empty where nobody says.
    """

    name: str
    port: int
    target: int | str
    protocol: str = "TCP"
    app_protocol: str = ""


def service_selector(service: ReadOnlyJson) -> Mapping[str, str]:
    """Return the labels of the pods that a Service is for; empty: none, its endpoints are somebody else's business."""
    return part(service, "spec", "selector")


def service_ports(service: ReadOnlyJson) -> tuple[ServicePort, ...]:
    """Return a Service's ports, in order; without a target port it is the port itself."""
    return tuple(
        ServicePort(
            name=str(entry.get("name") or ""),
            port=int(entry.get("port") or 0),
            target=entry.get("targetPort") or int(entry.get("port") or 0),
            protocol=str(entry.get("protocol") or "TCP"),
            app_protocol=str(entry.get("appProtocol") or ""),
        )
        for entry in mappings(part(service, "spec").get("ports"))
    )


def is_headless(service: ReadOnlyJson) -> bool:
    """Whether a Service has no address of its own."""
    return part(service, "spec").get("clusterIP") == "None"


def service_of_slice(endpoint_slice: ReadOnlyJson) -> str:
    """Return the name of the Service that an EndpointSlice belongs to, empty without one."""
    return label(endpoint_slice, SERVICE_NAME_LABEL)


def slice_port(endpoint_slice: ReadOnlyJson, name: str) -> int | None:
    """Return the number of a slice's port by its name, None without it."""
    for entry in mappings(endpoint_slice.get("ports")):
        if (entry.get("name") or "") == name and isinstance(entry.get("port"), int):
            return int(entry["port"])
    return None


def slice_ports(endpoint_slice: ReadOnlyJson) -> Mapping[str, int]:
    """Return the numbers of a slice's TCP ports by their names."""
    return {
        str(entry.get("name") or ""): entry["port"]
        for entry in mappings(endpoint_slice.get("ports"))
        if isinstance(entry.get("port"), int) and entry.get("protocol", "TCP") == "TCP"
    }


def has_host_names(endpoint_slice: ReadOnlyJson) -> bool:
    """Whether a slice's endpoints are host names, not addresses."""
    return endpoint_slice.get("addressType") == "FQDN"


def ready_addresses(endpoint_slice: ReadOnlyJson) -> Iterator[str]:
    """Yield the addresses of a slice's endpoints that take requests."""
    for endpoint in mappings(endpoint_slice.get("endpoints")):
        if is_endpoint_ready(endpoint):
            yield from (str(address) for address in endpoint.get("addresses") or ())


def ready_pods(endpoint_slice: ReadOnlyJson) -> Iterator[str]:
    """Yield the UIDs of the pods behind a slice's endpoints that take requests."""
    for endpoint in mappings(endpoint_slice.get("endpoints")):
        target = mapping(endpoint.get("targetRef"))
        if is_endpoint_ready(endpoint) and target.get("kind") == "Pod":
            yield str(target.get("uid", ""))


def is_endpoint_ready(endpoint: ReadOnlyJson) -> bool:
    """Whether an endpoint takes requests; what a slice does not say counts as ready."""
    return mapping(endpoint.get("conditions")).get("ready") is not False
