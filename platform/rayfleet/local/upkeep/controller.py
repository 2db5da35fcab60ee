"""Wakes the chores: a namespace for its account, a node for its taint, a disruption budget for its counts."""

from collections.abc import Iterable

from rayfleet.kube.client import KubeClient
from rayfleet.kube.watches import Reflectors
from rayfleet.local.upkeep.budgets import BUDGET_WRITES, ObservedBudget, is_of_budget, plan_budget
from rayfleet.local.upkeep.plan import (
    ACCOUNT_WRITES,
    DEFAULT_ACCOUNT,
    NODE_WRITES,
    ObservedAccounts,
    plan_account,
    plan_node,
)
from rayfleet.local.upkeep.scales import NoScale, expected_pods
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import CRDS, DISRUPTION_BUDGETS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS
from rayfleet.objects.budgets import is_of_scale
from rayfleet.objects.meta import key_of, name_of, namespace_of
from rayfleet.reconciling.assembly import ControllerPart
from rayfleet.reconciling.passes import Steps
from rayfleet.reconciling.runtime import Watch, primary


def upkeep_parts(client: KubeClient, reflectors: Reflectors) -> tuple[ControllerPart, ...]:
    """Return the chores; ``reflectors`` have namespaces, accounts, nodes, budgets, pods and definitions."""
    accounts = reflectors.store(SERVICE_ACCOUNTS)

    def observed(namespace: ReadOnlyJson) -> ObservedAccounts:
        account = ObjectKey(namespace=name_of(namespace), name=DEFAULT_ACCOUNT)
        return ObservedAccounts(namespace=namespace, has_default=accounts.get(account) is not None)

    def namespace_of_account(account: ReadOnlyJson) -> Iterable[ObjectKey]:
        if name_of(account) == DEFAULT_ACCOUNT:
            yield ObjectKey(namespace="", name=namespace_of(account))

    return (
        ControllerPart(
            name="accounts",
            steps=Steps(
                find=reflectors.store(NAMESPACES).get, observe=observed, plan=plan_account, writes=ACCOUNT_WRITES
            ),
            watches=(
                primary(reflectors[NAMESPACES]),
                Watch(reflector=reflectors[SERVICE_ACCOUNTS], keys=namespace_of_account),
            ),
        ),
        ControllerPart(
            name="nodes",
            steps=Steps(
                find=reflectors.store(NODES).get, observe=lambda node: node, plan=plan_node, writes=NODE_WRITES
            ),
            watches=(primary(reflectors[NODES]),),
        ),
        _budgets(client, reflectors),
    )


def _budgets(client: KubeClient, reflectors: Reflectors) -> ControllerPart:
    pods, budgets = reflectors.store(PODS), reflectors.store(DISRUPTION_BUDGETS)

    async def observed(budget: ReadOnlyJson) -> ObservedBudget:
        its_own = tuple(pod for pod in pods.list(namespace_of(budget)) if is_of_budget(budget, pod))
        if not is_of_scale(budget):
            return ObservedBudget(budget=budget, pods=its_own, expected=len(its_own))
        try:
            expected = await expected_pods(its_own, reflectors.store(CRDS).list(), client)
        except NoScale as problem:
            return ObservedBudget(budget=budget, pods=its_own, expected=0, problem=str(problem))
        return ObservedBudget(budget=budget, pods=its_own, expected=expected)

    def budgets_of_pod(pod: ReadOnlyJson) -> Iterable[ObjectKey]:
        return (key_of(each) for each in budgets.list(namespace_of(pod)) if is_of_budget(each, pod))

    return ControllerPart(
        name="budgets",
        steps=Steps(find=budgets.get, observe=observed, plan=plan_budget, writes=BUDGET_WRITES),
        watches=(primary(reflectors[DISRUPTION_BUDGETS]), Watch(reflector=reflectors[PODS], keys=budgets_of_pod)),
    )
