"""The engine as data: what it can do, how it is started. Pure.

SGLang runs one process a node, which knows its rank (``--nnodes``, ``--node-rank``, ``--dist-init-addr``), or by Ray
one on the head, which places the others itself (``--use-ray``; one bundle a node). Ranks other than the first answer a
health check that says nothing; nobody asks it.

Read in SGLang 0.5.23, whose wheels do not run without a GPU: its plans are held by tests, and were never run.
"""

import shlex
from dataclasses import replace
from types import MappingProxyType

from rayfleet.model.engine import EngineProbe, LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Backend, Serving
from rayfleet.plugin.arguments import OF_THE_PLAN, flag_problems, flag_value, has_flag
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.frame import RAY_VERSION, Frame
from rayfleet.plugin.images import backend_problems
from rayfleet.plugin.model_split import split_look, split_problems
from rayfleet.plugin.splitting import (
    Splitter,
    bring_command,
    joined,
    path_problems,
    place_problems,
    script_bring,
    shown_model,
    split_plan,
)
from rayfleet_sglang.images import IMAGE, image_facts
from rayfleet_sglang.metrics import HEALTH_PATH, METRICS, TRAFFIC

# At SIGTERM SGLang waits for all its requests, without a limit of its own.
_DRAIN_SECONDS = 30
_REFUSED = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "--model-path",
                "--model",
                "--served-model-name",
                "--host",
                "--port",
                "--enable-metrics",
                "--tensor-parallel-size",
                "--tp-size",
                "--tp",
                "--pipeline-parallel-size",
                "--pp-size",
                "--pp",
            ),
            OF_THE_PLAN,
        ),
        **dict.fromkeys(("--data-parallel-size", "--dp-size", "--dp"), "is not for one replica: use spec.replicas"),
        **dict.fromkeys(
            ("--nnodes", "--node-rank", "--dist-init-addr", "--nccl-init-addr", "--use-ray"),
            "is set by rayfleet for each node where it is needed: use nodes, parallelism and backend",
        ),
        "--device": "is set by rayfleet from resources.accelerators",
    }
)


class Sglang:
    """SGLang over the nodes of a replica."""

    name = "sglang"
    # Its own environment fetches the model.
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what SGLang cannot do of ``serving``; see Engine."""
        image = serving.image or IMAGE
        return (
            *backend_problems(serving, image, image_facts(image)),
            *place_problems(serving),
            *path_problems(serving),
            *split_problems(serving),
            *flag_problems(serving.arguments, _REFUSED),
        )

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; see Engine."""
        revision, folder = (flag_value(serving.arguments, flag) for flag in ("--revision", "--download-dir"))
        return split_plan(
            Splitter(image=IMAGE, image_facts=image_facts, metrics=METRICS, frame=_frame),
            serving,
            probe=_probe(serving),
            bring=bring_command(serving.model, revision, folder),
        )


def _probe(serving: Serving) -> EngineProbe:
    """Return how it is asked; it sleeps where it was told that it may give its memory back."""
    probe = EngineProbe(port=ENGINE_PORT, health_path=HEALTH_PATH, traffic=TRAFFIC)
    if not has_flag(serving.arguments, "--enable-memory-saver"):
        return probe
    return replace(probe, sleep_path="/release_memory_occupation", wake_path="/resume_memory_occupation")


def _frame(serving: Serving, backend: Backend, rank: int) -> Frame:
    by_ray = f"--use-ray --nnodes {serving.nodes}"
    by_rank = f'--nnodes {serving.nodes} --node-rank {rank} --dist-init-addr "$head_address:$rendezvous"'
    words = (
        f"sglang serve --model-path {shown_model(serving.model)}",
        f'--host "$POD_IP" --port {ENGINE_PORT} --enable-metrics',
        "" if serving.resources.accelerators else "--device cpu",
        by_ray if backend is Backend.RAY else by_rank if serving.nodes > 1 else "",
        shlex.join(_arguments(serving)),
    )
    with_ray = (
        f"SGLang spans nodes by Ray here: take spec.serving.backend mp, or build an image FROM yours with "
        f"ray=={RAY_VERSION} in it, and name it in spec.serving.image."
    )
    return Frame(
        command=joined(words),
        before=split_look(serving, shown_model(serving.model)),
        bring=script_bring(serving.model),
        programs=("sglang", "python3"),
        way_out=with_ray if backend is Backend.RAY else "Name one in spec.serving.image that has SGLang.",
        part="ray::Scheduler" if backend is Backend.RAY else "",  # SchedulerActor
        drain_seconds=_DRAIN_SECONDS,
    )


def _arguments(serving: Serving) -> tuple[str, ...]:
    return (
        *("--served-model-name", serving.served_model_name),
        *("--tp-size", str(serving.parallelism.tensor)),
        *("--pp-size", str(serving.parallelism.pipeline)),
        *serving.arguments,
    )
