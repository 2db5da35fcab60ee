"""What the containers of this node may ask for by name: pods behind a Service, Secrets and ConfigMaps."""

from collections.abc import Callable, Iterable

from rayfleet.kube.watches import Reflectors
from rayfleet.local.node.environments import ConfigLookup
from rayfleet.local.node.loopback import PodNetwork, behind_service
from rayfleet.local.node.pod import PodWorker
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import CONFIG_MAPS, SECRETS, SERVICES
from rayfleet.objects.meta import is_terminating, labels_of
from rayfleet.objects.selectors import has_all
from rayfleet.objects.services import service_selector

DIRECTORY_KINDS = (SERVICES, SECRETS, CONFIG_MAPS)


class Directory:
    """``workers`` returns those of the pods that run here now; the reflectors watch ``DIRECTORY_KINDS`` at least."""

    def __init__(self, reflectors: Reflectors, workers: Callable[[], Iterable[PodWorker]]) -> None:
        self._reflectors = reflectors
        self._workers = workers

    def resolve(self, namespace: str, name: str) -> PodNetwork | None:
        """Return the network of a pod behind a Service (the first by name, those that are going last).

        None without one.
        """
        service = self._reflectors.store(SERVICES).get(ObjectKey(namespace=namespace, name=name))
        if service is None or not service_selector(service):
            return None
        selected = [
            worker
            for worker in self._workers()
            if worker.key.namespace == namespace and has_all(service_selector(service), labels_of(worker.pod))
        ]
        selected.sort(key=lambda worker: (is_terminating(worker.pod), worker.key.name))
        return behind_service(selected[0].network, selected[0].pod, service) if selected else None

    def lookup_in(self, namespace: str) -> ConfigLookup:
        """Return how a pod of a namespace reads its Secrets and ConfigMaps."""
        return ConfigLookup(
            lambda name: self._reflectors.store(SECRETS).get(ObjectKey(namespace=namespace, name=name)),
            lambda name: self._reflectors.store(CONFIG_MAPS).get(ObjectKey(namespace=namespace, name=name)),
        )
