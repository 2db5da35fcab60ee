"""Services and routes that stand beside a fleet in the same documents. Pure."""

from collections.abc import Iterator, Sequence

from rayfleet.manifest.checking import shown
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import HTTP_ROUTES, REFERENCE_GRANTS, SERVICES
from rayfleet.objects.labels import HEAD_NODE_TYPE, NODE_TYPE_LABEL
from rayfleet.objects.meta import kind_of
from rayfleet.objects.references import allows_routes, backends
from rayfleet.objects.selectors import has_all
from rayfleet.objects.services import service_selector
from rayfleet.preflight.documents import namespace_of
from rayfleet.preflight.findings import Finding
from rayfleet.preflight.subject import Subject


def service_hits(service: ReadOnlyJson, subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Yield a warning for a Service that sends requests to workers too, where no engine listens."""
    selector = service_selector(service)
    if kind_of(service) != SERVICES.kind or not selector:
        return
    for subject in subjects:
        if namespace_of(service) != subject.namespace or not has_all(selector, subject.pod_labels(subject.head)):
            continue
        hit = next((group for group in subject.workers if has_all(selector, subject.pod_labels(group))), None)
        if hit is not None:
            message = (
                f"selects the workers of {subject.name} ({shown(hit.name)}) beside its head: a part of the requests"
                f" goes where no engine listens; add {NODE_TYPE_LABEL}: {HEAD_NODE_TYPE}"
            )
            yield Finding(rule="service-hits-workers", path="spec.selector", message=message)


def missing_grants(route: ReadOnlyJson, documents: Sequence[ReadOnlyJson]) -> Iterator[Finding]:
    """Yield a warning for each backend in another namespace that no ReferenceGrant among ``documents`` allows.

    Source: Gateway API v1.6, ReferenceGrant.
    """
    if kind_of(route) != HTTP_ROUTES.kind:
        return
    here = namespace_of(route)
    for backend in backends(route):
        target = backend.namespace or here
        if target == here or any(_allows(grant, here, target, backend.name) for grant in documents):
            continue
        message = (
            f"the Service {backend.name} is in {shown(target)} and the route in {shown(here)}: without a"
            f" ReferenceGrant in {shown(target)} the gateway refuses it; add one, or put the route there"
        )
        yield Finding(rule="missing-grant", path=backend.path, message=message)


def _allows(grant: ReadOnlyJson, source: str, target: str, service: str) -> bool:
    is_there = kind_of(grant) == REFERENCE_GRANTS.kind and namespace_of(grant) == target
    return is_there and allows_routes(grant, source, service)
