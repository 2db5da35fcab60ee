"""The words a person may use for a kind of object. Pure."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from rayfleet.model import resources
from rayfleet.model.errors import WrongUse
from rayfleet.model.resources import ResourceType


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A kind and the name of one object of it, empty for all."""

    resource: ResourceType
    name: str

    def __str__(self) -> str:
        return f"{self.resource.plural}/{self.name}"


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
        resources.SERVICE_ACCOUNTS: "sa serviceaccount serviceaccounts",
        resources.REFERENCE_GRANTS: "refgrant referencegrant referencegrants",
        resources.CONFIG_MAPS: "cm configmap configmaps",
        resources.NAMESPACES: "ns namespace namespaces",
        resources.GATEWAYS: "gtw gateway gateways",
        resources.LEASES: "lease leases",
        resources.CRDS: "crd crds customresourcedefinitions",
    }.items()
    for word in words.split()
}


def resource_named(word: str) -> ResourceType:
    """Return the kind that ``word`` (any case; ``.group`` or ``.version.group`` may follow) means.

    Raises WrongUse, naming the nearest.
    """
    plain, _, group = word.lower().partition(".")
    resource = _WORDS.get(plain)
    if resource is not None and group in {"", resource.group, f"{resource.version}.{resource.group}"}:
        return resource
    near = difflib.get_close_matches(word.lower(), _WORDS, n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(kind_words()))}."
    raise WrongUse(f"{word!r} is no kind of object that rayfleet knows", way_out=hint)


def kind_words() -> list[str]:
    """Return one plural word for each kind."""
    return sorted({resource.plural for resource in _WORDS.values()})


def references(arguments: Sequence[str]) -> list[Reference]:
    """Return what ``KIND NAME...``, ``KIND/NAME...`` (of several kinds) or ``KIND[,KIND]`` names, in order.

    As kubectl's arguments; a kind without a name has the name "". Raises WrongUse.
    """
    if not arguments:
        raise WrongUse("name what to work on", way_out="For example `fleets`, `pods NAME` or `rcf/NAME`.")
    if any("/" in argument for argument in arguments):
        return [_reference(argument) for argument in arguments]
    kinds = [resource_named(word) for word in arguments[0].split(",")]
    return [Reference(resource=kind, name=name) for kind in kinds for name in arguments[1:] or ("",)]


def named_references(arguments: Sequence[str], example: str) -> list[Reference]:
    """Return what is named, each with its name; ``example`` is a command line that would do. Raises WrongUse."""
    chosen = references(arguments)
    for each in chosen:
        if not each.name:
            plural = each.resource.plural
            way_out = f"For example `{example}`; `rayfleet get {plural}` lists them."
            raise WrongUse(f"name one of the {plural}", way_out=way_out)
    return chosen


def fleet_names(arguments: Sequence[str], command: str) -> list[str]:
    """Return the names of the fleets that are named: ``rcf/A fleet/B``, ``rcf A B`` or ``A``. Raises WrongUse."""
    if len(arguments) == 1 and "/" not in arguments[0]:
        return [arguments[0]]
    example = f"rayfleet {command} rcf/NAME"
    chosen = named_references(arguments, example)
    for each in chosen:
        if each.resource != resources.FLEETS:
            raise WrongUse(f"{command} is for fleets, not {each.resource.plural}", way_out=f"For example `{example}`.")
    return [each.name for each in chosen]


def _reference(argument: str) -> Reference:
    kind, slash, name = argument.partition("/")
    if not slash or not name or "/" in name:
        raise WrongUse(
            f"{argument!r}: with one KIND/NAME all others have that form too",
            way_out="For example `rcf/NAME pod/NAME`.",
        )
    return Reference(resource=resource_named(kind), name=name)
