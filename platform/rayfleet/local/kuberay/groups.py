"""What to do for one worker group. Pure.

Source: KubeRay raycluster_controller.go (1.6), reconcilePods and reconcileMultiHostWorkerGroup. Terminating pods count
as existing workers, so a replacement waits until the old pod's object is gone.
"""

import hashlib
from collections.abc import Collection, Sequence

from rayfleet.local.kuberay.pods import (
    REPLICA_INDEX_LABEL,
    REPLICA_NAME_LABEL,
    PodOptions,
    WorkerSeat,
    build_worker_pod,
)
from rayfleet.local.kuberay.sizes import desired_workers, hosts_of
from rayfleet.local.kuberay.steps import CreatePod, DeletePod, Step, Stop, is_spent, is_terminating, label_of
from rayfleet.model.json import ReadOnlyJson


def group_steps(
    cluster: ReadOnlyJson, group: ReadOnlyJson, pods: Sequence[ReadOnlyJson], options: PodOptions
) -> list[Step]:
    """Return the steps for a group whose pods are ``pods``; a Stop ends the pass for the groups after it too."""
    if hosts_of(group) > 1:
        return _replica_steps(cluster, group, pods, options)
    spent = [pod for pod in pods if is_spent(pod)]
    if spent:
        return [*_deletions(spent), Stop(message=f"delete {len(spent)} unhealthy worker Pods")]
    named = _to_delete(group)
    steps = _deletions([pod for pod in pods if pod["metadata"]["name"] in named])
    left = [pod for pod in pods if pod["metadata"]["name"] not in named]
    missing = desired_workers(group) - len(left)
    taken = {_index(pod) for pod in left}
    for index in _free_indices(taken, missing):
        manifest = build_worker_pod(cluster, group, options, WorkerSeat(index=index))
        steps.append(CreatePod(manifest=manifest, role="Worker"))
    if missing < 0 and not cluster["spec"].get("enableInTreeAutoscaling"):
        # Which ones go is arbitrary in KubeRay. Those that go anyway come first here, so that no more go than must.
        steps += _deletions(sorted(left, key=lambda pod: not is_terminating(pod))[:-missing])
    return steps


def _replica_steps(
    cluster: ReadOnlyJson, group: ReadOnlyJson, pods: Sequence[ReadOnlyJson], options: PodOptions
) -> list[Step]:
    """Replicas of several hosts live and die whole."""
    replicas: dict[str, list[ReadOnlyJson]] = {}
    for pod in pods:
        replicas.setdefault(label_of(pod, REPLICA_NAME_LABEL), []).append(pod)
    replicas.pop("", None)
    hosts = hosts_of(group)
    for name, mine in replicas.items():
        if len(mine) < hosts:
            return [*_deletions(mine), Stop(message=f"cleaned up incomplete replica group {name}, requeueing")]
    broken = {name for name, mine in replicas.items() if any(is_spent(pod) for pod in mine)}
    steps = _deletions([pod for name in broken for pod in replicas[name]])
    named = _to_delete(group)
    unwanted = {name for name, mine in replicas.items() if any(pod["metadata"]["name"] in named for pod in mine)}
    if unwanted:
        steps += _deletions([pod for name in unwanted - broken for pod in replicas[name]])
        return [*steps, Stop(message=f"deleted {len(unwanted) * hosts} worker Pods based on ScaleStrategy, requeueing")]
    whole = {name: mine for name, mine in replicas.items() if name not in broken}
    missing = desired_workers(group) // hosts - len(whole)
    for index in _free_indices({_index(mine[0]) for mine in whole.values()}, missing):
        name = _replica_name(cluster, group, index, pods)
        for host in range(hosts):
            seat = WorkerSeat(index=index, replica_name=name, host=host)
            manifest = build_worker_pod(cluster, group, options, seat)
            steps.append(CreatePod(manifest=manifest, role="Worker"))
    if missing < 0 and not cluster["spec"].get("enableInTreeAutoscaling"):
        going = sorted(whole, key=lambda name: not any(is_terminating(pod) for pod in whole[name]))[:-missing]
        steps += _deletions([pod for name in going for pod in whole[name]])
    return steps


def _deletions(pods: Sequence[ReadOnlyJson]) -> list[Step]:
    return [DeletePod(pod=pod, role="Worker") for pod in pods if not is_terminating(pod)]


def _to_delete(group: ReadOnlyJson) -> frozenset[str]:
    """Return the names in workersToDelete: they go whatever ``replicas`` says (in KubeRay pods of other groups too)."""
    return frozenset((group.get("scaleStrategy") or {}).get("workersToDelete") or ())


def _index(pod: ReadOnlyJson) -> int:
    text = label_of(pod, REPLICA_INDEX_LABEL)
    return int(text) if text.isdecimal() else -1


def _free_indices(taken: Collection[int], count: int) -> list[int]:
    """Return the lowest ``count`` numbers that are not taken."""
    found: list[int] = []
    index = 0
    while len(found) < count:
        if index not in taken:
            found.append(index)
        index += 1
    return found


def _replica_name(cluster: ReadOnlyJson, group: ReadOnlyJson, index: int, pods: Sequence[ReadOnlyJson]) -> str:
    """Return ``<group>-<5 characters>``: random in KubeRay.

    Here another one for each set of pods that is there already.
    """
    known = sorted(pod["metadata"]["uid"] for pod in pods)
    digest = hashlib.sha256("/".join([cluster["metadata"]["uid"], str(index), *known]).encode()).hexdigest()
    return f"{group['groupName']}-{digest[:5]}"
