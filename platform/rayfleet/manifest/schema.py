"""The fields of our two kinds, declared once: the decoder checks with them and the CRDs are made from them. Pure.

Structural schemas of ``apiextensions.k8s.io/v1``. The RayCluster spec stays open, so new KubeRay fields are never
pruned; ``strategy`` has no default here, because a fleet that names none gets one that fits its accelerators. Names and
defaults are AIBrix's (v1alpha1) and Deployment's (apps/v1); ``serving`` is our own. Maps and texts under CEL rules are
bounded: an API server refuses rules whose worst cost it cannot bound.
"""

from rayfleet.manifest.checking import PERCENT_PATTERN
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.quantity import QUANTITY_PATTERN

# Letters of a RayCluster's name at most (KubeRay derives pod and service names from it), and what we append to a
# fleet's.
RAY_CLUSTER_NAME_LETTERS = 53
REPLICA_SET_SUFFIX_LETTERS = 7  # "-" and the template hash
RAY_CLUSTER_SUFFIX_LETTERS = 6  # "-" and the ordinal's hash
REPLICA_SET_NAME_LETTERS = RAY_CLUSTER_NAME_LETTERS - RAY_CLUSTER_SUFFIX_LETTERS
FLEET_NAME_LETTERS = REPLICA_SET_NAME_LETTERS - REPLICA_SET_SUFFIX_LETTERS

_INT32_MAX = 2**31 - 1
_LABEL_LETTERS = 63


def _text(description: str, **rules: object) -> Json:
    return {"type": "string", "description": description, **rules}


def _count(description: str, **rules: object) -> Json:
    return {
        "type": "integer",
        "format": "int32",
        "minimum": 0,
        "maximum": _INT32_MAX,
        "description": description,
        **rules,
    }


def _object(description: str, properties: ReadOnlyJson, **rules: object) -> Json:
    return {"type": "object", "description": description, "properties": properties, **rules}


def _labels(description: str) -> Json:
    return {
        "type": "object",
        "description": description,
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": _LABEL_LETTERS},
    }


def _text_map(description: str) -> Json:
    return {"type": "object", "description": description, "additionalProperties": {"type": "string"}}


def _int_or_text(description: str, pattern: str) -> Json:
    return {"x-kubernetes-int-or-string": True, "minimum": 0, "pattern": pattern, "description": description}


_SELECTOR = _object(
    "Which RayClusters are the fleet's: must match template.metadata.labels; cannot be changed.",
    {
        "matchLabels": _labels("Labels that must all be there."),
        "matchExpressions": {
            "type": "array",
            "maxItems": 64,
            "description": "Requirements that must all hold.",
            "items": _object(
                "One requirement.",
                {
                    "key": _text("The label.", maxLength=317),
                    "operator": _text("How values are compared.", enum=["In", "NotIn", "Exists", "DoesNotExist"]),
                    "values": {
                        "type": "array",
                        "maxItems": 64,
                        "description": "For In and NotIn.",
                        "items": {"type": "string", "maxLength": _LABEL_LETTERS},
                    },
                },
                required=["key", "operator"],
            ),
        },
    },
)

_TEMPLATE = _object(
    "What each RayCluster is made from.",
    {
        "metadata": _object(
            "Labels and annotations of the RayCluster (not of its pods).",
            {
                "labels": _labels("Labels of each RayCluster."),
                "annotations": _text_map("Annotations of each RayCluster."),
            },
        ),
        "spec": {
            "type": "object",
            "description": "KubeRay's RayCluster spec (ray.io/v1), kept as written.",
            "x-kubernetes-preserve-unknown-fields": True,
        },
    },
    required=["spec"],
)

_SERVING = _object(
    "Short form: the engine's plugin makes the whole RayCluster template from it.",
    {
        "engine": _text("Name of an engine plugin, such as llamacpp or vllm.", minLength=1, maxLength=_LABEL_LETTERS),
        "model": _text("Reference of the model: pypi:PACKAGE, a path, or a hub's name.", minLength=1, maxLength=1024),
        "servedModelName": _text(
            "What requests ask for; the label model.aibrix.ai/name or the fleet's name when absent.",
            minLength=1,
            maxLength=_LABEL_LETTERS,
        ),
        "nodes": _count("Ray nodes (pods) of one replica, the head included.", minimum=1, default=1),
        "parallelism": _object(
            "How the model is split; the product is the number of ranks.",
            {
                "tensor": _count("Accelerators that share each layer.", minimum=1, default=1),
                "pipeline": _count("Stages of layers.", minimum=1, default=1),
            },
        ),
        "resources": _object(
            "What each Ray node asks for.",
            {
                "cpu": _int_or_text("CPU quantity.", QUANTITY_PATTERN),
                "memory": _int_or_text("Memory quantity.", QUANTITY_PATTERN),
                "accelerators": _count("Accelerators of each Ray node.", default=0),
                "acceleratorResource": _text("Resource name of the accelerators.", default="nvidia.com/gpu"),
            },
        ),
        "image": _text("Container image; the engine's own when absent."),
        "rayVersion": _text("Version of Ray in the image; the engine's own when absent."),
        "args": {
            "type": "array",
            "description": "Arguments added to the engine's command, unchanged.",
            "items": {"type": "string"},
        },
        "env": _text_map("Environment of the Ray containers."),
    },
    required=["engine", "model"],
)

_NOT_BOTH_ZERO = (
    "!(has(self.maxSurge) && has(self.maxUnavailable)"
    " && (type(self.maxSurge) == string ? self.maxSurge == '0%' : self.maxSurge == 0)"
    " && (type(self.maxUnavailable) == string ? self.maxUnavailable == '0%' : self.maxUnavailable == 0))"
)
NOT_BOTH_ZERO_MESSAGE = "maxSurge and maxUnavailable must not both be 0: no step could ever be made"
ROLLING_ONLY_MESSAGE = "rollingUpdate holds for type RollingUpdate only"

_STRATEGY = _object(
    "How a new template replaces the old one; RollingUpdate when absent.",
    {
        "type": _text("The kind of rollout.", enum=["RollingUpdate", "Recreate"]),
        "rollingUpdate": _object(
            "Bounds of a rolling update; 25% each when absent (a single replica with accelerators: 0 and 1).",
            {
                "maxSurge": _int_or_text("RayClusters above replicas; a percentage rounds up.", PERCENT_PATTERN),
                "maxUnavailable": _int_or_text(
                    "RayClusters that may be missing; a percentage rounds down.", PERCENT_PATTERN
                ),
            },
            **{"x-kubernetes-validations": [{"rule": _NOT_BOTH_ZERO, "message": NOT_BOTH_ZERO_MESSAGE}]},
        ),
    },
    **{
        "x-kubernetes-validations": [
            {
                "rule": "!has(self.rollingUpdate) || !has(self.type) || self.type == 'RollingUpdate'",
                "message": ROLLING_ONLY_MESSAGE,
            }
        ]
    },
)

_SELECTOR_MATCHES = (
    "!has(self.template) || !has(self.selector) || !has(self.selector.matchLabels)"
    " || self.selector.matchLabels.all(name, has(self.template.metadata) && has(self.template.metadata.labels)"
    " && name in self.template.metadata.labels"
    " && self.template.metadata.labels[name] == self.selector.matchLabels[name])"
)
_SELECTOR_KEPT = (
    "has(oldSelf.selector) == has(self.selector) && (!has(self.selector) || self.selector == oldSelf.selector)"
)
ONE_SOURCE_MESSAGE = "exactly one of template and serving must be given"
SELECTOR_NEEDED_MESSAGE = "must be given with template"
SELECTOR_MISMATCH_MESSAGE = "selector does not match template.metadata.labels"

FLEET_SPEC = _object(
    "What the fleet should be.",
    {
        "replicas": _count("Desired number of RayClusters.", default=1),
        "selector": _SELECTOR,
        "template": _TEMPLATE,
        "serving": _SERVING,
        "strategy": _STRATEGY,
        "minReadySeconds": _count("Seconds of readiness before a RayCluster counts as available.", default=0),
        "revisionHistoryLimit": _count("Old replica sets that are kept.", default=10),
        "paused": {"type": "boolean", "description": "Whether rollouts wait; scaling does not.", "default": False},
        "progressDeadlineSeconds": _count(
            "Seconds without progress before a rollout counts as failed.", minimum=1, default=600
        ),
    },
    **{
        "x-kubernetes-validations": [
            {"rule": "has(self.serving) != has(self.template)", "message": ONE_SOURCE_MESSAGE},
            {"rule": "has(self.serving) || has(self.selector)", "message": f"selector {SELECTOR_NEEDED_MESSAGE}"},
            {"rule": _SELECTOR_MATCHES, "message": SELECTOR_MISMATCH_MESSAGE},
            {"rule": _SELECTOR_KEPT, "message": "selector cannot be changed"},
        ]
    },
)

REPLICA_SET_SPEC = _object(
    "What the replica set should be.",
    {
        "replicas": _count("Desired number of RayClusters.", default=1),
        "selector": _SELECTOR,
        "template": _TEMPLATE,
        "minReadySeconds": _count("Seconds of readiness before a RayCluster counts as available.", default=0),
    },
    required=["template"],
    **{
        "x-kubernetes-validations": [
            {"rule": _SELECTOR_MATCHES, "message": SELECTOR_MISMATCH_MESSAGE},
            {"rule": _SELECTOR_KEPT, "message": "selector cannot be changed"},
        ]
    },
)

_CONDITIONS: Json = {
    "type": "array",
    "description": "What is true of the object now, and since when.",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": _object(
        "One condition.",
        {
            "type": _text("Its name."),
            "status": _text("Whether it holds.", enum=["True", "False", "Unknown"]),
            "reason": _text("Why, for programs."),
            "message": _text("Why, for people."),
            "lastTransitionTime": _text("When status changed.", format="date-time"),
            "lastUpdateTime": _text("When anything of it changed.", format="date-time"),
            "observedGeneration": {"type": "integer", "format": "int64", "description": "The spec it speaks of."},
        },
        required=["type", "status"],
    ),
}
_GENERATION: Json = {"type": "integer", "format": "int64", "description": "The spec that the status speaks of."}

FLEET_STATUS = _object(
    "What the fleet is; counts are RayClusters.",
    {
        "observedGeneration": _GENERATION,
        "replicas": _count("Not terminating."),
        "updatedReplicas": _count("Of the present template."),
        "readyReplicas": _count("Ready now."),
        "availableReplicas": _count("Ready for minReadySeconds."),
        "unavailableReplicas": _count("Still missing until all are available."),
        "terminatingReplicas": _count("Asked to go, not gone yet."),
        "collisionCount": _count("Collisions of template hashes met."),
        "conditions": _CONDITIONS,
        "scalingTargetSelector": _text("Selector of the head pods, for autoscalers."),
        "phase": _text("Summary in one word."),
        "ready": _text("readyReplicas/replicas, for people."),
        "model": _text("What requests ask for."),
    },
)
REPLICA_SET_STATUS = _object(
    "What the replica set is; counts are RayClusters.",
    {
        "observedGeneration": _GENERATION,
        "replicas": _count("Not terminating."),
        "fullyLabeledReplicas": _count("With all labels of the template."),
        "readyReplicas": _count("Ready now."),
        "availableReplicas": _count("Ready for minReadySeconds."),
        "terminatingReplicas": _count("Asked to go, not gone yet."),
        "readySince": {
            "type": "object",
            "description": "When each ready RayCluster (by UID) was first seen ready.",
            "additionalProperties": {"type": "string", "format": "date-time"},
        },
        "conditions": _CONDITIONS,
    },
)
