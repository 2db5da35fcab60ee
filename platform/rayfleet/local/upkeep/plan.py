"""The account that every namespace has, and the taint that a ready node has not. Pure.

Source: Kubernetes v1.36 pkg/controller/serviceaccount (serviceaccounts_controller.go) and
pkg/controller/nodelifecycle (doNoScheduleTaintingPass), of which a node that gets unready is left out: ours never does.
"""

from dataclasses import dataclass
from datetime import datetime

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import NODES, SERVICE_ACCOUNTS
from rayfleet.objects.conditions import is_true
from rayfleet.objects.meta import is_terminating, name_of
from rayfleet.objects.nodes import NOT_READY, taints_of
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import Create, Merge, Verb, permissions, ref_of

DEFAULT_ACCOUNT = "default"
ACCOUNT_WRITES = permissions(SERVICE_ACCOUNTS, Verb.CREATE)
NODE_WRITES = permissions(NODES, Verb.PATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedAccounts:
    """A namespace, and whether it has the account."""

    namespace: ReadOnlyJson
    has_default: bool


def plan_account(observed: ObservedAccounts, _now: datetime) -> StatelessPlan:
    """Return the creation of the account that pods have which name none; nothing for a namespace that goes."""
    if observed.has_default or is_terminating(observed.namespace):
        return StatelessPlan(status=None)
    meta = {"name": DEFAULT_ACCOUNT, "namespace": name_of(observed.namespace)}
    account: Json = {"apiVersion": SERVICE_ACCOUNTS.api_version, "kind": SERVICE_ACCOUNTS.kind, "metadata": meta}
    return StatelessPlan(actions=(Create(resource=SERVICE_ACCOUNTS, manifest=account),), status=None)


def plan_node(node: ReadOnlyJson, _now: datetime) -> StatelessPlan:
    """Return the removal of the taint with which a node begins, once it is ready."""
    taints = taints_of(node)
    rest = [each.raw for each in taints if (each.key, each.effect) != (NOT_READY, "NoSchedule")]
    if len(rest) == len(taints) or not is_true(node, "Ready"):
        return StatelessPlan(status=None)
    patch = {"spec": {"taints": rest or None}}
    return StatelessPlan(
        actions=(Merge(resource=NODES, ref=ref_of(node, at_this_version=True), patch=patch),), status=None
    )
