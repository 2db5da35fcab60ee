"""Keeps each Service's EndpointSlices equal to its pods. A pod's change of readiness is there two round trips later."""

from collections.abc import Iterable

from rayfleet.kube.watches import Reflectors
from rayfleet.local.endpoints.plan import WRITES, ObservedService, plan_slices
from rayfleet.local.endpoints.slices import selects, slice_name
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ENDPOINT_SLICES, PODS, SERVICES
from rayfleet.objects.meta import key_of, labels_of, name_of, namespace_of, uid_of
from rayfleet.reconciling.passes import Steps
from rayfleet.reconciling.runtime import Watch, owner_key, primary


def slice_steps(reflectors: Reflectors) -> Steps[ObservedService]:
    """Return the read and the decision for one Service."""

    def observe(service: ReadOnlyJson) -> ObservedService:
        namespace = namespace_of(service)
        slices = reflectors.store(ENDPOINT_SLICES)
        return ObservedService(
            service=service,
            pods=reflectors.store(PODS).list(namespace),
            main=slices.get(ObjectKey(namespace=namespace, name=slice_name(name_of(service)))),
            slices=slices.by_owner(uid_of(service)),
        )

    return Steps(find=reflectors.store(SERVICES).get, observe=observe, plan=plan_slices, writes=WRITES)


def slice_watches(reflectors: Reflectors) -> tuple[Watch, ...]:
    """Return what wakes a Service: itself, pods that it selects, its slice."""

    def services_of_pod(pod: ReadOnlyJson) -> Iterable[ObjectKey]:
        for service in reflectors.store(SERVICES).list(namespace_of(pod)):
            if selects(service, labels_of(pod)):
                yield key_of(service)

    return (
        primary(reflectors[SERVICES]),
        Watch(reflector=reflectors[PODS], keys=services_of_pod),
        Watch(reflector=reflectors[ENDPOINT_SLICES], keys=owner_key(SERVICES.kind)),
    )
