"""How many pods the controllers of some pods ask for, by their scales. Edge: asks the API server.

As the disruption controller: a pod without a controller is passed over, a controller that has no scale is an error.
Source: Kubernetes v1.36 pkg/controller/disruption/disruption.go (getExpectedScale, getScaleController); of kinds that
have one only custom ones are here.
"""

from collections.abc import Iterable

import orjson

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import NotFound
from rayfleet.kube.requests import object_path
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.definitions import has_scale, served_kind
from rayfleet.objects.meta import name_of, namespace_of, uid_of
from rayfleet.objects.owners import OwnerReference, controller_of
from rayfleet.objects.scales import replicas_of_scale


class NoScale(Exception):
    """Why nobody can say how many pods there are to be."""


async def expected_pods(pods: Iterable[ReadOnlyJson], definitions: Iterable[ReadOnlyJson], client: KubeClient) -> int:
    """Return the sum of the scales of the pods' controllers. Raises NoScale, ApiError."""
    kinds = {(kind.group, kind.kind): (kind, each) for each in definitions if (kind := served_kind(each)) is not None}
    scales: dict[str, int] = {}
    for pod in pods:
        owner = controller_of(pod)
        if owner is None or owner.uid in scales:
            continue
        kind, definition = kinds.get((owner.group, owner.kind), (None, {}))
        if kind is None:
            version = owner.api_version.rpartition("/")[2]
            raise NoScale(f'no matches for kind "{owner.kind}" in version "{owner.group or "core"}/{version}"')
        if not has_scale(definition):
            raise NoScale(f"{kind.plural}.{kind.group} does not implement the scale subresource")
        scale = await _scale(kind, owner, namespace_of(pod), client)
        if scale is None:
            raise NoScale(f'found no controllers for pod "{name_of(pod)}"')
        scales[owner.uid] = scale
    return sum(scales.values())


async def _scale(kind: ResourceType, owner: OwnerReference, namespace: str, client: KubeClient) -> int | None:
    """Return the scale of the very owner, None when it is gone."""
    try:
        scale = orjson.loads(await client.raw("GET", object_path(kind, owner.name, namespace, "scale")))
    except NotFound:
        return None
    return replicas_of_scale(scale) if uid_of(scale) == owner.uid else None
