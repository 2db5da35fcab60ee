"""The pod that brings a replica's images and weights to a node: short-lived, small, invisible to all selectors. Pure.

Its kubelet pulls what the replica's would, with the same pull secrets, pull policies, service account (without a token)
and security contexts; its first container runs what brings the model, on the volumes that outlive a pod. It is pinned
by the node's name in a node affinity and not by ``nodeName``: so the scheduler has its say, and a node that is cordoned
or full gets none, as it would get no replica. It asks for no accelerator, and is shown none where a runtime shows all.

It has no ``activeDeadlineSeconds``: whether its image can be pulled is what holds the cut back, and a pod that its
kubelet ended would not say so any more. Our own timeout ends it, and with its fleet it goes as owned.

Its label ``ray.io/cluster`` has a value that no RayCluster can be named: our watch of pods, which is by that label,
sees it, and no selector of KubeRay's (``ray.io/cluster=NAME``), of our Services and budgets (head pods) meets it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rayfleet.model.fleet import RayClusterTemplate
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import FLEETS, PODS
from rayfleet.objects.container_specs import container_image
from rayfleet.objects.labels import NO_RAY_CLUSTER, RAY_CLUSTER_LABEL, WARM_UP_LABEL
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.pod_specs import (
    Volume,
    init_containers,
    main_containers,
    mounts_of,
    only,
    variables_of,
    volumes_of,
)
from rayfleet.objects.ray_spec import group_workers, head_group, pod_spec, worker_groups
from rayfleet.planning.names import warm_up_pod_name

_AS_THE_REPLICA = (
    "tolerations",
    "imagePullSecrets",
    "securityContext",
    "serviceAccountName",
    "runtimeClassName",
    "dnsPolicy",
    "dnsConfig",
    "hostAliases",
)
_LASTING = ("persistentVolumeClaim", "hostPath", "nfs", "cephfs", "glusterfs", "iscsi", "fc", "azureFile")
_GIVEN = ("configMap", "secret", "csi", "image")
"""Volumes that hold nothing of ours, but credentials that a download needs, or what mounting them brings."""
_KEPT = frozenset({*_LASTING, *_GIVEN})
_REQUESTS: ReadOnlyJson = {"requests": {"cpu": "10m", "memory": "32Mi"}}
_NO_ACCELERATORS: ReadOnlyJson = {"NVIDIA_VISIBLE_DEVICES": {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}}
_VARIABLES = frozenset({"env", "envFrom"})
_NOTHING = "exit 0"
_ONLY_WHERE_KEPT = '[ -n "${RAYFLEET_CACHE:-}" ] || exit 0\n'
"""Without a volume that outlives the pod a model is worth bringing only where nodes have a folder for models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpPod:
    """One pod that is needed: ``node`` is its node."""

    name: str
    node: str
    manifest: ReadOnlyJson


def warm_up_pods(fleet: ObjectMeta, template: RayClusterTemplate, bring: str, node: str) -> Iterator[WarmUpPod]:
    """Yield what brings the template's images, and by the shell command ``bring`` its model, to a node.

    One pod, with a container for each image; more only where the groups' pods differ in what a whole pod has.
    """
    for spec in _pod_specs(template.spec, bring):
        name = warm_up_pod_name(fleet, f"{json.dumps(spec, sort_keys=True)}/{node}")
        yield WarmUpPod(name=name, node=node, manifest=_manifest(fleet, name, spec, node))


def _manifest(fleet: ObjectMeta, name: str, spec: ReadOnlyJson, node: str) -> Json:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    pinned = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "metadata": {
            "name": name,
            "namespace": fleet.namespace,
            "labels": {RAY_CLUSTER_LABEL: NO_RAY_CLUSTER, WARM_UP_LABEL: fleet.name},
            "ownerReferences": [controller_reference(FLEETS, fleet.name, fleet.uid)],
        },
        "spec": {**spec, "affinity": {"nodeAffinity": pinned}},
    }


def _pod_specs(spec: ReadOnlyJson, bring: str) -> list[Json]:
    """Return the pods' specs without a node; groups whose pods are alike but for their containers share one."""
    merged: dict[str, tuple[Json, list[Json]]] = {}
    for group in (head_group(spec), *(group for group in worker_groups(spec) if group_workers(group))):
        pod = pod_spec(group)
        whole = _whole(pod)
        _, pods = merged.setdefault(json.dumps(whole, sort_keys=True), (whole, []))
        pods.append(pod)
    return [{**whole, "containers": _containers(pods, bring)} for whole, pods in merged.values()]


def _whole(pod: ReadOnlyJson) -> Json:
    """Return what the pod has as a whole."""
    volumes = [volume.raw for volume in volumes_of(pod) if volume.kind in _KEPT]
    return {
        **only(pod, _AS_THE_REPLICA),
        **({"volumes": volumes} if volumes else {}),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }


def _containers(pods: Sequence[ReadOnlyJson], bring: str) -> list[Json]:
    """Return what the Ray containers become, each once but for its variables, and one for each further image."""
    bringing: dict[str, Json] = {}
    others: dict[str, Json] = {}
    for pod in pods:
        ray, *beside = main_containers(pod) or [{}]
        made = _bringing(ray, volumes_of(pod), bring)
        alike = {name: value for name, value in made.items() if name not in _VARIABLES}
        bringing.setdefault(json.dumps(alike, sort_keys=True), made)
        for container in (*init_containers(pod), *beside):
            others.setdefault(container_image(container), _container(container, _NOTHING))
    brought = {container_image(each) for each in bringing.values()}
    containers = (*bringing.values(), *(each for image, each in others.items() if image not in brought))
    return [{"name": f"warm-up-{place}", **each} for place, each in enumerate(containers)]


def _bringing(ray: ReadOnlyJson, volumes: Sequence[Volume], bring: str) -> Json:
    """Return what the Ray container becomes: the same image, variables and volumes, another command."""
    kinds = {volume.name: volume.kind for volume in volumes if volume.kind in _KEPT}
    mounts = [mount for mount in mounts_of(ray) if mount.volume in kinds]
    keeps = any(kinds[mount.volume] in _LASTING and not mount.is_read_only for mount in mounts)
    script = f"{'' if keeps else _ONLY_WHERE_KEPT}exec {bring}" if bring else _NOTHING
    container = _container(ray, script) | only(ray, ("envFrom",))
    if mounts:
        container["volumeMounts"] = [mount.raw for mount in mounts]
    return {**container, "env": [*{**variables_of(ray), **_NO_ACCELERATORS}.values()]}


def _container(container: ReadOnlyJson, script: str) -> Json:
    return {
        "image": container_image(container),
        "command": ["/bin/sh", "-c", script],
        "resources": dict(_REQUESTS),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **only(container, ("imagePullPolicy", "securityContext")),
    }
