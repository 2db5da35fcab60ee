"""A fleet from its first pod to its first answer, as ``up`` shows it."""

import contextlib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rayfleet.cli.phases import Phases
from rayfleet.model.meta import ObjectKey

if TYPE_CHECKING:
    from rayfleet.kube.client import KubeClient

ANSWER_LIMIT = timedelta(seconds=60)


async def wait_until_ready(
    client: "KubeClient", key: ObjectKey, pods_folder: Path, limit: timedelta, phases: Phases
) -> None:
    """Show the fleet's Ray nodes and its engine come up, until one replica answers.

    Raises EnvironmentProblem when it will not, or not within ``limit``.
    """
    from rayfleet.local.up.fleet_watch import watch_fleet

    phases.begin("Ray cluster")
    is_forming = True
    async with contextlib.aclosing(watch_fleet(client, key, pods_folder, limit)) as looks:
        async for look in looks:
            progress = look.progress
            nodes = f"{progress.nodes_up}/{progress.nodes_expected} nodes"
            if is_forming and (progress.nodes_up >= progress.nodes_expected or progress.is_ready):
                phases.end(nodes)
                phases.begin("engine")
                is_forming = False
            replicas = f"{progress.replicas_ready}/{progress.replicas_expected} replicas ready"
            phases.update(nodes if is_forming else f"{replicas}  {look.engine_message}".rstrip())
            if progress.is_ready:
                phases.end(replicas)
                return


async def first_answer(gateway_url: str, model: str, question: str, phases: Phases) -> str:
    """Return the model's answer, having shown how fast it came. Raises EnvironmentProblem without one."""
    from rayfleet.local.up.ask import ask

    phases.begin("first token", f"asking {model}: {question}")
    answer = await ask(gateway_url, model, question, ANSWER_LIMIT)
    rate = answer.chunks / max(0.001, (answer.total - answer.first_token).total_seconds())
    phases.end(
        f"{answer.first_token.total_seconds():.2f} s to the first token, {answer.chunks} tokens, {rate:.0f} tokens/s; "
        f"{phases.total_seconds:.1f} s in all"
    )
    return answer.text
