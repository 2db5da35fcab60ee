"""The fields of our two kinds, declared once: the decoder checks with them and the CRDs are made from them. Pure.

Structural schemas of ``apiextensions.k8s.io/v1``. The RayCluster spec stays open, so new KubeRay fields are never
pruned; ``strategy`` has no default here, because a fleet that names none gets one that fits its accelerators. Names and
defaults are AIBrix's (v1alpha1) and Deployment's (apps/v1); ``serving`` is our own. Maps and texts under CEL rules are
bounded: an API server refuses rules whose worst cost it cannot bound.
"""

from rayfleet.manifest.checking import PERCENT_PATTERN, SHARE_PATTERN
from rayfleet.manifest.policies import DRAIN, RECOVERY, REPLACEMENT_POLICY, ROUTE, WARM_UP
from rayfleet.manifest.schema_parts import (
    LABEL_LETTERS,
    count,
    int_or_text,
    labels,
    object_of,
    text,
    text_map,
)
from rayfleet.model.json import Json
from rayfleet.model.replica import ReplicaPhase
from rayfleet.model.serving import Backend
from rayfleet.objects.quantity import QUANTITY_PATTERN

# Letters of a RayCluster's name at most (KubeRay derives pod and service names from it), and what we append to a
# fleet's.
RAY_CLUSTER_NAME_LETTERS = 53
REPLICA_SET_SUFFIX_LETTERS = 7  # "-" and the template hash
RAY_CLUSTER_SUFFIX_LETTERS = 6  # "-" and the ordinal's hash
REPLICA_SET_NAME_LETTERS = RAY_CLUSTER_NAME_LETTERS - RAY_CLUSTER_SUFFIX_LETTERS
FLEET_NAME_LETTERS = REPLICA_SET_NAME_LETTERS - REPLICA_SET_SUFFIX_LETTERS

VALUES_NEEDED_MESSAGE = "values must be given when operator is In or NotIn"
VALUES_REFUSED_MESSAGE = "values must not be given when operator is Exists or DoesNotExist"
_HAS_VALUES = "has(self.values) && self.values.size() > 0"
_VALUES_FIT = [
    {"rule": f"!(self.operator in ['In', 'NotIn']) || ({_HAS_VALUES})", "message": VALUES_NEEDED_MESSAGE},
    {"rule": f"self.operator in ['In', 'NotIn'] || !({_HAS_VALUES})", "message": VALUES_REFUSED_MESSAGE},
]

_SELECTOR = object_of(
    "Which RayClusters are the fleet's: must match template.metadata.labels; cannot be changed.",
    {
        "matchLabels": labels("Labels that must all be there."),
        "matchExpressions": {
            "type": "array",
            "maxItems": 64,
            "description": "Requirements that must all hold.",
            "items": object_of(
                "One requirement.",
                {
                    "key": text("The label.", maxLength=317),
                    "operator": text("How values are compared.", enum=["In", "NotIn", "Exists", "DoesNotExist"]),
                    "values": {
                        "type": "array",
                        "maxItems": 64,
                        "description": "For In and NotIn.",
                        "items": {"type": "string", "maxLength": LABEL_LETTERS},
                    },
                },
                required=["key", "operator"],
                **{"x-kubernetes-validations": _VALUES_FIT},
            ),
        },
    },
)

_TEMPLATE = object_of(
    "What each RayCluster is made from.",
    {
        "metadata": object_of(
            "Labels and annotations of the RayCluster (not of its pods).",
            {
                "labels": labels("Labels of each RayCluster."),
                "annotations": text_map("Annotations of each RayCluster."),
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

_SERVING = object_of(
    "Short form: the engine's plugin makes the whole RayCluster template from it.",
    {
        "engine": text("Name of an engine plugin, such as llamacpp or vllm.", minLength=1, maxLength=LABEL_LETTERS),
        "model": text("Reference of the model: pypi:PACKAGE, a path, or a hub's name.", minLength=1, maxLength=1024),
        "servedModelName": text(
            "What requests ask for; the label model.aibrix.ai/name or the fleet's name when absent.",
            minLength=1,
            maxLength=LABEL_LETTERS,
        ),
        "nodes": count("Nodes (pods) of one replica, the head included.", minimum=1, default=1),
        "backend": text(
            "How the engine spans its nodes: by Ray, by one process of its own on each (mp), or as the image allows.",
            enum=[each.value for each in Backend],
            default=Backend.AUTO.value,
        ),
        "parallelism": object_of(
            "How the model is split; the product is the number of ranks.",
            {
                "tensor": count("Accelerators that share each layer.", minimum=1, default=1),
                "pipeline": count("Stages of layers.", minimum=1, default=1),
            },
        ),
        "resources": object_of(
            "What each Ray node asks for.",
            {
                "cpu": int_or_text("CPU quantity.", QUANTITY_PATTERN),
                "memory": int_or_text("Memory quantity.", QUANTITY_PATTERN),
                "accelerators": count("Accelerators of each Ray node.", default=0),
                "acceleratorResource": text("Resource name of the accelerators.", default="nvidia.com/gpu"),
            },
        ),
        "image": text("Container image; the engine's own when absent."),
        "rayVersion": text("Version of Ray in the image; the engine's own when absent."),
        "args": {
            "type": "array",
            "description": "Arguments added to the engine's command, unchanged.",
            "items": {"type": "string"},
        },
        "env": text_map("Environment of the Ray containers."),
        "restartedAt": text("When a restart was asked for; a new value makes every replica anew.", maxLength=64),
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

_STRATEGY = object_of(
    "How a new template replaces the old one; RollingUpdate when absent.",
    {
        "type": text("The kind of rollout.", enum=["RollingUpdate", "Recreate"]),
        "rollingUpdate": object_of(
            "Bounds of a rolling update; 25% each when absent (a single replica with accelerators: 0 and 1).",
            {
                "maxSurge": int_or_text("RayClusters above replicas; a percentage rounds up.", PERCENT_PATTERN),
                "maxUnavailable": int_or_text(
                    "RayClusters that may be missing; a percentage rounds down.", SHARE_PATTERN
                ),
            },
            **{"x-kubernetes-validations": [{"rule": _NOT_BOTH_ZERO, "message": NOT_BOTH_ZERO_MESSAGE}]},
        ),
        "rollbackOnFailure": {
            "type": "boolean",
            "description": "Whether a failed rollout goes back to the last healthy revision; false when absent.",
        },
        "surgeTimeoutSeconds": count(
            "Seconds that a surge replica may wait for room before the rollout goes on without it; 300 when absent.",
            minimum=1,
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
DEADLINE_MESSAGE = "progressDeadlineSeconds must be greater than minReadySeconds"
SELECTOR_MISMATCH_MESSAGE = "selector does not match template.metadata.labels"

SERVING_FIELDS = tuple(_SERVING["properties"])

FLEET_SPEC = object_of(
    "What the fleet should be.",
    {
        "replicas": count("Desired number of RayClusters.", default=1),
        "selector": _SELECTOR,
        "template": _TEMPLATE,
        "serving": _SERVING,
        "strategy": _STRATEGY,
        "minReadySeconds": count("Seconds of readiness before a RayCluster counts as available.", default=0),
        "revisionHistoryLimit": count("Old replica sets that are kept.", default=10),
        "paused": {"type": "boolean", "description": "Whether rollouts wait; scaling does not.", "default": False},
        "progressDeadlineSeconds": count(
            "Seconds without progress before a rollout counts as failed.", minimum=1, default=600
        ),
        "replacementPolicy": REPLACEMENT_POLICY,
        "recovery": RECOVERY,
        "drain": DRAIN,
        "warmUp": WARM_UP,
        "route": ROUTE,
    },
    **{
        "x-kubernetes-validations": [
            {"rule": "has(self.serving) != has(self.template)", "message": ONE_SOURCE_MESSAGE},
            {"rule": "has(self.serving) || has(self.selector)", "message": f"selector {SELECTOR_NEEDED_MESSAGE}"},
            {"rule": _SELECTOR_MATCHES, "message": SELECTOR_MISMATCH_MESSAGE},
            {"rule": _SELECTOR_KEPT, "message": "selector cannot be changed"},
            {"rule": "self.progressDeadlineSeconds > self.minReadySeconds", "message": DEADLINE_MESSAGE},
        ]
    },
)

REPLICA_SET_SPEC = object_of(
    "What the replica set should be.",
    {
        "replicas": count("Desired number of RayClusters.", default=1),
        "selector": _SELECTOR,
        "template": _TEMPLATE,
        "minReadySeconds": count("Seconds of readiness before a RayCluster counts as available.", default=0),
        "replacementPolicy": REPLACEMENT_POLICY,
        "recovery": RECOVERY,
        "drain": DRAIN,
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
    "items": object_of(
        "One condition.",
        {
            "type": text("Its name."),
            "status": text("Whether it holds.", enum=["True", "False", "Unknown"]),
            "reason": text("Why, for programs."),
            "message": text("Why, for people."),
            "lastTransitionTime": text("When status changed.", format="date-time"),
            "lastUpdateTime": text("When anything of it changed.", format="date-time"),
            "observedGeneration": {"type": "integer", "format": "int64", "description": "The spec it speaks of."},
        },
        required=["type", "status"],
    ),
}
_GENERATION: Json = {"type": "integer", "format": "int64", "description": "The spec that the status speaks of."}

_REPLICA_STATES: Json = {
    "type": "array",
    "description": "Where each RayCluster stands and what blocks it; bounded, those that need a look first.",
    "items": object_of(
        "One RayCluster.",
        {
            "name": text("Of the RayCluster."),
            "uid": text("Of the RayCluster."),
            "phase": text("Where it stands.", enum=[phase.value for phase in ReplicaPhase]),
            "reason": text("Why, for programs."),
            "message": text("Why, for people."),
            "since": text("When it came into this phase.", format="date-time"),
            "progress": text("Pods that are through this phase, such as 1/2."),
            "pod": text("The pod that blocks."),
            "container": text("The container that blocks."),
            "incarnation": text("Which life of its pods was ready last."),
            "stages": {
                "type": "object",
                "description": "Seconds spent in each stage of its start.",
                "additionalProperties": {"type": "number"},
            },
        },
        required=["name", "phase"],
    ),
}

FLEET_STATUS = object_of(
    "What the fleet is; counts are RayClusters.",
    {
        "observedGeneration": _GENERATION,
        "replicas": count("Not terminating."),
        "updatedReplicas": count("Of the present template."),
        "readyReplicas": count("Ready now."),
        "availableReplicas": count("Ready for minReadySeconds."),
        "unavailableReplicas": count("Still missing until all are available."),
        "terminatingReplicas": count("Asked to go, not gone yet."),
        "collisionCount": count("Collisions of template hashes met."),
        "revision": count("Number of the present template in the history."),
        "conditions": _CONDITIONS,
        "scalingTargetSelector": text("Selector of the head pods, for autoscalers."),
        "phase": text("Summary in one word."),
        "ready": text("readyReplicas/replicas, for people."),
        "model": text("What requests ask for."),
        "replicaStates": _REPLICA_STATES,
    },
)
REPLICA_SET_STATUS = object_of(
    "What the replica set is; counts are RayClusters.",
    {
        "observedGeneration": _GENERATION,
        "replicas": count("Not terminating."),
        "fullyLabeledReplicas": count("With all labels of the template."),
        "readyReplicas": count("Ready now."),
        "availableReplicas": count("Ready for minReadySeconds."),
        "terminatingReplicas": count("Asked to go, not gone yet."),
        "readySince": {
            "type": "object",
            "description": "When each ready RayCluster (by UID) was first seen ready.",
            "additionalProperties": {"type": "string", "format": "date-time"},
        },
        "conditions": _CONDITIONS,
        "replicaStates": _REPLICA_STATES,
        "rebuilds": {
            "type": "array",
            "description": "RayClusters given up and made anew within the recovery window or still, oldest first.",
            "items": object_of(
                "One rebuild.",
                {
                    "index": count("Its place in the replica set."),
                    "name": text("Of the RayCluster that was given up."),
                    "time": text("When.", format="date-time"),
                    "reason": text("Why, for programs."),
                    "message": text("Why, for people."),
                    "open": {
                        "type": "boolean",
                        "description": "Whether it had been ready and none was since in its place; false when absent.",
                    },
                },
                required=["index", "time"],
            ),
        },
        "incarnations": count("The highest number that one of its RayClusters ever had: no name is given twice."),
        "resumed": text("The last value of the annotation that gave Failed RayClusters another budget of rebuilds."),
    },
)
