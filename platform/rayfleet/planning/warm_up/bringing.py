"""Which shell command brings a replica's model to a node. Pure.

What the manifest names wins; else the engine of ``spec.serving`` knows. Of a template that people wrote, only its own
command line tells, where there is a reader for it.
"""

import shlex
from collections.abc import Mapping

from rayfleet.model.policies import WarmUp
from rayfleet.model.serving import Serving
from rayfleet.plugin.contracts import Engine


def bring_command(policy: WarmUp, serving: Serving | None, engines: Mapping[str, Engine]) -> str:
    """Return the command, empty when none is known."""
    if policy.command:
        return shlex.join(policy.command)
    engine = engines.get(serving.engine) if serving is not None else None
    if serving is None or engine is None or engine.problems(serving):
        return ""
    return engine.launch_plan(serving).bring
