"""The words a person may use for a kind of object. Pure."""

import difflib

from rayfleet.model import resources
from rayfleet.model.errors import SettingsError
from rayfleet.model.resources import ResourceType

_WORDS: dict[str, ResourceType] = {
    word: resource
    for resource, words in {
        resources.FLEETS: "rcf fleet fleets rayclusterfleet rayclusterfleets",
        resources.REPLICA_SETS: "rcrs replicaset replicasets rayclusterreplicaset rayclusterreplicasets",
        resources.RAY_CLUSTERS: "rc cluster clusters raycluster rayclusters",
        resources.PODS: "po pod pods",
        resources.SERVICES: "svc service services",
        resources.ENDPOINT_SLICES: "endpointslice endpointslices",
        resources.HTTP_ROUTES: "route routes httproute httproutes",
        resources.EVENTS: "ev event events",
        resources.NODES: "no node nodes",
        resources.SECRETS: "secret secrets",
        resources.CONFIG_MAPS: "cm configmap configmaps",
        resources.NAMESPACES: "ns namespace namespaces",
        resources.GATEWAYS: "gtw gateway gateways",
        resources.LEASES: "lease leases",
        resources.CRDS: "crd crds customresourcedefinitions",
    }.items()
    for word in words.split()
}


def resource_named(word: str) -> ResourceType:
    """Return the kind that ``word`` (any case, a ``.group`` suffix allowed) means.

    Raises SettingsError, naming the nearest.
    """
    resource = _WORDS.get(word.lower().split(".")[0])
    if resource is not None:
        return resource
    near = difflib.get_close_matches(word.lower(), _WORDS, n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(kind_words()))}."
    raise SettingsError(f"{word!r} is no kind of object that rayfleet knows", way_out=hint)


def kind_words() -> list[str]:
    """Return one plural word for each kind."""
    return sorted({resource.plural for resource in _WORDS.values()})


def split_reference(arguments: tuple[str, ...]) -> tuple[ResourceType, tuple[str, ...]]:
    """Return kind and names of ``KIND [NAME...]`` or ``KIND/NAME``. Raises SettingsError."""
    if not arguments:
        raise SettingsError("name what to work on", way_out="For example `fleets`, `pods NAME` or `rcf/NAME`.")
    kind, slash, name = arguments[0].partition("/")
    return resource_named(kind), ((name, *arguments[1:]) if slash else arguments[1:])
