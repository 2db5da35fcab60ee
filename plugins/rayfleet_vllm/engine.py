"""The engine as data: what it can do, how it is started. Pure.

vLLM splits one model over the nodes. On Ray the head joins it, waits for all nodes and starts ``vllm serve``, which
places one rank per accelerator by a placement group; workers only run Ray. A lost rank ends the engine (vLLM 0.32.0),
and with it the head. Without Ray every node runs vLLM, and a lost rank goes unseen by the others until the next
request: the scripts see to that (``rayfleet.plugin.rank_frame``).
"""

from dataclasses import replace
from itertools import zip_longest
from types import MappingProxyType

from rayfleet.model.engine import EngineProbe, LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Serving
from rayfleet.plugin.arguments import OF_THE_PLAN, drain_problems, flag_problems, flag_value, has_flag
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.images import backend_problems
from rayfleet.plugin.model_split import split_problems
from rayfleet.plugin.splitting import Splitter, bring_command, path_problems, place_problems, split_plan
from rayfleet_vllm.images import IMAGE, image_facts
from rayfleet_vllm.launch import vllm_frame
from rayfleet_vllm.load import load_path
from rayfleet_vllm.metrics import METRICS, TRAFFIC

_DRAIN_FLAG = "--shutdown-timeout"
_REFUSED = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "--model",
                "--served-model-name",
                "--host",
                "--port",
                "--distributed-executor-backend",
                "--tensor-parallel-size",
                "-tp",
                "--pipeline-parallel-size",
                "-pp",
            ),
            OF_THE_PLAN,
        ),
        **dict.fromkeys(
            ("--data-parallel-size", "-dp"),
            "is not for one replica: use spec.replicas",
        ),
        **dict.fromkeys(
            ("--nnodes", "-n", "--node-rank", "-r", "--headless", "--master-addr", "--master-port"),
            "is set by rayfleet for each node where it is needed: use nodes, parallelism and backend",
        ),
    }
)


class Vllm:
    """vLLM over the nodes of a replica."""

    name = "vllm"
    # Its own environment fetches the model: a Hugging Face folder is made there, by the libraries that will read it.
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what vLLM cannot do of ``serving``; see Engine."""
        image = serving.image or IMAGE
        return (
            *backend_problems(serving, image, image_facts(image)),
            *place_problems(serving),
            *path_problems(serving),
            *split_problems(serving),
            *flag_problems(serving.arguments, _REFUSED),
            *drain_problems(_DRAIN_FLAG, _drain_seconds(serving.arguments)),
        )

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; see Engine."""
        drain = _drain_seconds(serving.arguments)
        revision, folder = (flag_value(serving.arguments, flag) for flag in ("--revision", "--download-dir"))
        return split_plan(
            Splitter(
                image=IMAGE,
                image_facts=image_facts,
                metrics=METRICS,
                frame=lambda serving, backend, rank: vllm_frame(serving, backend, rank, drain),
            ),
            serving,
            probe=_probe(serving),
            bring=bring_command(serving.model, revision, folder),
        )


def _probe(serving: Serving) -> EngineProbe:
    """Return how it is asked; it sleeps where it was told that it may, and serves what developers need."""
    probe = EngineProbe(port=ENGINE_PORT, traffic=TRAFFIC, load_path=load_path(serving))
    may_sleep = has_flag(serving.arguments, "--enable-sleep-mode")
    if not may_sleep or serving.environment.get("VLLM_SERVER_DEV_MODE") != "1":
        return probe
    return replace(probe, sleep_path="/sleep?level=1", wake_path="/wake_up")


def _drain_seconds(arguments: tuple[str, ...]) -> int:
    """Return the last ``--shutdown-timeout``, whole seconds; vLLM's default, 0, when there is none that can be read."""
    seconds = 0
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        flag, is_joined, joined = argument.partition("=")
        value = joined if is_joined else following
        if flag.replace("_", "-") == _DRAIN_FLAG and value.isdecimal():
            seconds = int(value)
    return seconds
