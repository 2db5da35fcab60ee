"""Pods of ranks without Ray, as KubeRay builds them, are taken by both API servers: one variable has an odd name."""

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.local.kuberay.pods import build_worker_pod
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.policies import Drain
from rayfleet.model.resources import PODS
from rayfleet.model.serving import Backend, Parallelism, Serving
from rayfleet.planning.render import render_template
from rayfleet_vllm.engine import Vllm

SERVING = Serving(
    engine="vllm",
    model="org/m",
    served_model_name="m",
    nodes=3,
    backend=Backend.MP,
    parallelism=Parallelism(pipeline=3),
)


TEMPLATE = render_template(SERVING, Vllm().launch_plan(SERVING), ObjectMeta(name="ranks"), Drain())


@pytest.mark.parametrize("rank", [1, 2])
async def test_a_rank_and_kuberays_wait_before_it_are_taken(client: KubeClient, namespace: str, rank: int) -> None:
    meta = {"name": "ranks", "namespace": namespace, "uid": "3d6c", "annotations": dict(TEMPLATE.annotations)}
    pod = build_worker_pod({"metadata": meta, "spec": TEMPLATE.spec}, TEMPLATE.spec["workerGroupSpecs"][rank - 1])
    del pod["metadata"]["ownerReferences"]
    made = await client.create(PODS, pod)
    waiting, ranked = (made["spec"][field][0] for field in ("initContainers", "containers"))
    for container in (waiting, ranked):
        assert any(entry["name"] == "BASH_FUNC_ray%%" for entry in container["env"])
    assert f"--node-rank {rank} " in ranked["args"][0]
    assert made["metadata"]["labels"]["ray.io/group"] == f"rank-{rank}"
