"""Labels and annotations by their meaning. Pure.

Those of ``aibrix.ai`` and ``deployment.kubernetes.io`` are AIBrix's and Deployment's own, kept so that tools find what
they know.
"""

from collections.abc import Mapping

from rayfleet.model.fleet import Selector

MODEL_LABEL = "model.aibrix.ai/name"
MODEL_PORT_LABEL = "model.aibrix.ai/port"
FLEET_LABEL = "orchestration.aibrix.ai/raycluster-fleet-name"
HASH_LABEL = "pod-template-hash"
NODE_TYPE_LABEL = "ray.io/node-type"
HEAD_NODE_TYPE = "head"

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
REVISION_HISTORY_ANNOTATION = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS_ANNOTATION = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS_ANNOTATION = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
DELETION_COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
OVERWRITE_COMMAND_ANNOTATION = "ray.io/overwrite-container-cmd"
TEMPLATE_HASH_ANNOTATION = "orchestration.aibrix.ai/template-hash"
"""Full hash of what a replica set was made from; on the replica set and on each of its RayClusters."""


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether all of ``selector`` holds for ``labels``; an empty selector holds for everything."""
    if any(labels.get(name) != value for name, value in selector.match_labels.items()):
        return False
    for requirement in selector.match_expressions:
        value = labels.get(requirement.key)
        holds = {
            "In": value is not None and value in requirement.values,
            "NotIn": value is None or value not in requirement.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds[requirement.operator]:
            return False
    return True
