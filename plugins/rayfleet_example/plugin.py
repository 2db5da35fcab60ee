"""The engine ``example``: an OpenAI-compatible server that one command starts on the head of a replica."""

import shlex
from collections.abc import Sequence

from rayfleet.model.engine import LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Serving
from rayfleet.plugin.arguments import OF_THE_PLAN, flag_problems
from rayfleet.plugin.contracts import Engine, ModelFormat
from rayfleet.plugin.frame import Frame
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet.plugin.plans import plan_of

rayfleet_contract = 1
FLAGS = dict.fromkeys(("--model", "--served-model-name", "--host", "--port"), OF_THE_PLAN)


class Example:
    """Data alone: what it cannot do of a manifest, and how it is started."""

    name = "example"
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what is wrong with ``serving`` for this engine, each with its field."""
        return tuple(flag_problems(serving.arguments, FLAGS))

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how it is started; ``problems`` found nothing."""
        names = shlex.join(("--model", serving.model, "--served-model-name", serving.served_model_name))
        command = f'example-server {names} --host "$POD_IP" --port 8000 {shlex.join(serving.arguments)}'
        frame = Frame(command=command, programs=("example-server",), way_out="Name one with it in spec.serving.image.")
        return plan_of(frame, image="ghcr.io/example/example-server")


@hookimpl
def rayfleet_engines() -> Sequence[Engine]:
    """Contribute the engine."""
    return (Example(),)
