"""What to do for one worker group. Pure.

Source: KubeRay raycluster_controller.go (1.6), reconcilePods and reconcileMultiHostWorkerGroup. Terminating pods count
as existing workers, so a replacement waits until the old pod's object is gone.
"""

import hashlib
import itertools
from collections.abc import Collection, Sequence
from itertools import islice

from rayfleet.local.kuberay.pods import PodOptions, WorkerSeat, build_worker_pod
from rayfleet.local.kuberay.steps import Step, Stop, created_pod, deleted_pod, is_spent, suspended_worker
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.labels import REPLICA_INDEX_LABEL, REPLICA_NAME_LABEL
from rayfleet.objects.meta import is_terminating, label, name_of, uid_of
from rayfleet.objects.ray_spec import group_replicas, group_workers, has_autoscaler, hosts_of, is_suspended


def group_steps(
    cluster: ReadOnlyJson, group: ReadOnlyJson, pods: Sequence[ReadOnlyJson], options: PodOptions
) -> list[Step]:
    """Return the steps for a group whose pods are ``pods``; a Stop ends the pass for the groups after it too."""
    if is_suspended(group):
        return [suspended_worker(pod, cluster, group["groupName"]) for pod in pods if not is_terminating(pod)]
    if hosts_of(group) > 1:
        return _replica_steps(cluster, group, pods, options)
    spent = [pod for pod in pods if is_spent(pod)]
    if spent:
        return [*_deletions(spent), Stop(message=f"delete {len(spent)} unhealthy worker Pods")]
    named = _to_delete(group)
    steps = _deletions([pod for pod in pods if name_of(pod) in named])
    left = [pod for pod in pods if name_of(pod) not in named]
    missing = group_workers(group) - len(left)
    taken = {_index(pod) for pod in left}
    for index in _free_indices(taken, missing):
        manifest = build_worker_pod(cluster, group, options, WorkerSeat(index=index))
        steps.append(created_pod(manifest, "Worker"))
    if missing < 0 and not has_autoscaler(cluster["spec"]):
        # Which ones go is arbitrary in KubeRay. Those that go anyway come first here, so that no more go than must.
        steps += _deletions(sorted(left, key=lambda pod: not is_terminating(pod))[:-missing])
    return steps


def _replica_steps(
    cluster: ReadOnlyJson, group: ReadOnlyJson, pods: Sequence[ReadOnlyJson], options: PodOptions
) -> list[Step]:
    """Replicas of several hosts live and die whole."""
    replicas: dict[str, list[ReadOnlyJson]] = {}
    for pod in pods:
        replicas.setdefault(label(pod, REPLICA_NAME_LABEL), []).append(pod)
    replicas.pop("", None)
    hosts = hosts_of(group)
    for name, mine in replicas.items():
        if len(mine) < hosts:
            return [*_deletions(mine), Stop(message=f"cleaned up incomplete replica group {name}, requeueing")]
    broken = {name for name, mine in replicas.items() if any(is_spent(pod) for pod in mine)}
    steps = _deletions([pod for name in broken for pod in replicas[name]])
    named = _to_delete(group)
    unwanted = {name for name, mine in replicas.items() if any(name_of(pod) in named for pod in mine)}
    if unwanted:
        steps += _deletions([pod for name in unwanted - broken for pod in replicas[name]])
        return [*steps, Stop(message=f"deleted {len(unwanted) * hosts} worker Pods based on ScaleStrategy, requeueing")]
    whole = {name: mine for name, mine in replicas.items() if name not in broken}
    missing = group_replicas(group) - len(whole)
    for index in _free_indices({_index(mine[0]) for mine in whole.values()}, missing):
        name = _replica_name(cluster, group, index, pods)
        for host in range(hosts):
            seat = WorkerSeat(index=index, replica_name=name, host=host)
            manifest = build_worker_pod(cluster, group, options, seat)
            steps.append(created_pod(manifest, "Worker"))
    if missing < 0 and not has_autoscaler(cluster["spec"]):
        going = sorted(whole, key=lambda name: not any(is_terminating(pod) for pod in whole[name]))[:-missing]
        steps += _deletions([pod for name in going for pod in whole[name]])
    return steps


def _deletions(pods: Sequence[ReadOnlyJson]) -> list[Step]:
    return [deleted_pod(pod, "Worker") for pod in pods if not is_terminating(pod)]


def _to_delete(group: ReadOnlyJson) -> frozenset[str]:
    """Return the names in workersToDelete: they go whatever ``replicas`` says (in KubeRay pods of other groups too)."""
    return frozenset((group.get("scaleStrategy") or {}).get("workersToDelete") or ())


def _index(pod: ReadOnlyJson) -> int:
    text = label(pod, REPLICA_INDEX_LABEL)
    return int(text) if text.isdecimal() else -1


def _free_indices(taken: Collection[int], count: int) -> list[int]:
    """Return the lowest ``count`` numbers that are not taken."""
    return list(islice((index for index in itertools.count() if index not in taken), max(0, count)))


def _replica_name(cluster: ReadOnlyJson, group: ReadOnlyJson, index: int, pods: Sequence[ReadOnlyJson]) -> str:
    """Return ``<group>-<5 characters>``: random in KubeRay.

    Here another one for each set of pods that is there already.
    """
    known = sorted(uid_of(pod) for pod in pods)
    digest = hashlib.sha256("/".join([uid_of(cluster), str(index), *known]).encode()).hexdigest()
    return f"{group['groupName']}-{digest[:5]}"
