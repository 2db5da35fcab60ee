"""``recovery``, ``drain``, ``warmUp``, ``replacementPolicy`` and ``route`` of a spec: schema, from and to JSON. Pure.

The schema has no defaults, so a manifest stays as it was written; decoding fills in the model's.
"""

from dataclasses import fields
from typing import Any, TypeVar

from rayfleet.manifest.schema_parts import LABEL_LETTERS, count, object_of, text
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.policies import Drain, ParentGateway, Recovery, RecoveryOrder, ReplacementPolicy, Route, WarmUp
from rayfleet.objects.parts import mapping

REPLACEMENT_POLICY = text(
    "When a RayCluster on its way out makes room for another: at once, or when all its pods are gone"
    " (what holds when absent, for those with accelerators).",
    enum=[policy.value for policy in ReplacementPolicy],
)
RECOVERY = object_of(
    "How a RayCluster that was ready and is not comes back.",
    {
        "enabled": {"type": "boolean", "description": "Whether a broken RayCluster is rebuilt; true when absent."},
        "order": text(
            "Whether the broken one goes before or after the other is made; DeleteFirst when absent.",
            enum=[order.value for order in RecoveryOrder],
        ),
        "graceSeconds": count("Seconds to come back by itself; 60 when absent."),
        "firstBackoffSeconds": count("Seconds before a second rebuild, doubled for each more; 30 when absent."),
        "longestBackoffSeconds": count("Seconds between rebuilds at most; 600 when absent."),
        "maxRebuilds": count("Rebuilds of one place within the window, then it is Failed; 5 when absent."),
        "windowSeconds": count("Seconds that a rebuild counts; 3600 when absent.", minimum=1),
        "formingDeadlineSeconds": count(
            "Seconds from started containers until Ray stands in all of them; 600 when absent.", minimum=1
        ),
    },
)
DRAIN = object_of(
    "How a RayCluster that is to go finishes its requests.",
    {"timeoutSeconds": count("Seconds that requests in flight may take; 60 when absent, 0: none.")},
)
WARM_UP = object_of(
    "How new images and weights come to a node before a serving RayCluster there is deleted for its successor.",
    {
        "enabled": {"type": "boolean", "description": "Whether they are brought at all; true when absent."},
        "timeoutSeconds": count("Seconds that this may take; 600 when absent.", minimum=1),
        "command": {
            "type": "array",
            "maxItems": 64,
            "description": "What brings the weights, in the image and with the volumes of the Ray container;"
            " as the engine knows when absent.",
            "items": {"type": "string", "maxLength": 4096},
        },
    },
)
ROUTE = object_of(
    "The way in for requests; the controller's defaults hold for what is absent.",
    {
        "enabled": {"type": "boolean", "description": "Whether an HTTPRoute is kept; true when absent."},
        "parentRef": object_of(
            "The Gateway.",
            {
                "name": text("Its name.", minLength=1, maxLength=253),
                "namespace": text("Its namespace; the fleet's own when absent.", maxLength=LABEL_LETTERS),
                "sectionName": text("Its listener; all when absent.", maxLength=253),
            },
            required=["name"],
        ),
        "hostnames": {
            "type": "array",
            "maxItems": 16,
            "description": "Host names of requests; all when absent.",
            "items": {"type": "string", "minLength": 1, "maxLength": 253},
        },
        "paths": {
            "type": "array",
            "maxItems": 16,
            "description": "Path prefixes of requests.",
            "items": {"type": "string", "pattern": "^/", "maxLength": 1024},
        },
        "timeoutSeconds": count("Seconds that a request may take; 0: no limit."),
        "weight": count(
            "Share of this fleet among those of its model; by available replicas when absent, 0: no requests.",
            maximum=1_000_000,
        ),
    },
)

_Policy = TypeVar("_Policy", Recovery, Drain, WarmUp)


def decode_recovery(raw: object) -> Recovery:
    """Return the policy; what is absent has its default."""
    return _decoded(Recovery, mapping(raw), order=RecoveryOrder)


def decode_drain(raw: object) -> Drain:
    """Return the policy; what is absent has its default."""
    return _decoded(Drain, mapping(raw))


def decode_warm_up(raw: object) -> WarmUp:
    """Return the policy; what is absent has its default."""
    return _decoded(WarmUp, mapping(raw), command=tuple)


def decode_replacement_policy(raw: object) -> ReplacementPolicy | None:
    """Return the policy, None when none is named."""
    return ReplacementPolicy(raw) if isinstance(raw, str) and raw else None


def decode_route(raw: object) -> Route:
    """Return the way in; what is absent is the controller's choice."""
    route = mapping(raw)
    parent = mapping(route.get("parentRef"))
    return Route(
        enabled=route.get("enabled") is not False,
        parent=_decode_parent(parent) if parent else None,
        hostnames=tuple(route.get("hostnames") or ()),
        paths=tuple(route.get("paths") or ()),
        timeout_seconds=route.get("timeoutSeconds"),
        weight=route.get("weight"),
    )


def encode_policies(recovery: Recovery, drain: Drain, replacement: ReplacementPolicy | None) -> Json:
    """Return the parts of a replica set's spec that differ from what holds when nothing is said."""
    encoded: Json = {}
    if parts := _encoded(recovery, Recovery()):
        encoded["recovery"] = parts
    if parts := _encoded(drain, Drain()):
        encoded["drain"] = parts
    if replacement is not None:
        encoded["replacementPolicy"] = replacement.value
    return encoded


def _decode_parent(raw: ReadOnlyJson) -> ParentGateway:
    return ParentGateway(
        name=raw["name"], namespace=raw.get("namespace") or "", section_name=raw.get("sectionName") or ""
    )


def _decoded(kind: type[_Policy], raw: ReadOnlyJson, **readers: type) -> _Policy:
    values: dict[str, Any] = {}
    for each in fields(kind):
        value = raw.get(_camel(each.name))
        if value is not None:
            values[each.name] = readers[each.name](value) if each.name in readers else value
    return kind(**values)


def _encoded(policy: _Policy, default: _Policy) -> Json:
    names = [each.name for each in fields(policy)]
    return {_camel(name): getattr(policy, name) for name in names if getattr(policy, name) != getattr(default, name)}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
