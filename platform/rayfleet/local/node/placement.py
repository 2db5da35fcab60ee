"""Whether a pod may be put on a node: cordon, taints, node selector. Pure.

As kube-scheduler's plugins NodeUnschedulable, TaintToleration and NodeAffinity (v1.36), with its words; of affinities,
only the node selector is looked at. A taint ``NoExecute`` keeps pods away and ends none that run.
"""

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import labels_of, name_of
from rayfleet.objects.nodes import Taint, is_cordoned, node_selector_of, taints_of, tolerations_of

_CORDONED = Taint(key="node.kubernetes.io/unschedulable", value="", effect="NoSchedule", raw={})
_REPELLING = ("NoSchedule", "NoExecute")
_NODES = "0/1 nodes are available: 1 node(s)"


def placement_problem(pod: ReadOnlyJson, node: ReadOnlyJson) -> str:
    """Return why the pod may not be put on the node; empty when it may."""
    tolerations = tolerations_of(pod)
    if is_cordoned(node) and not any(each.tolerates(_CORDONED) for each in tolerations):
        return f"{_NODES} were unschedulable. `kubectl uncordon {name_of(node)}` lets pods in again"
    for taint in taints_of(node):
        if taint.effect in _REPELLING and not any(each.tolerates(taint) for each in tolerations):
            return f"{_NODES} had untolerated taint {taint}"
    labels = labels_of(node)
    selector = node_selector_of(pod)
    if missing := [f"{key}={value}" for key, value in selector.items() if labels.get(key) != value]:
        return f"{_NODES} didn't match Pod's node affinity/selector: {', '.join(missing)}"
    return ""
