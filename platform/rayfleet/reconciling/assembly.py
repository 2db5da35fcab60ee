"""Puts controllers together: one line for each says what it reads and decides (``Steps``) and what wakes it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from rayfleet.kube.client import KubeClient
from rayfleet.kube.events import EventRecorder
from rayfleet.kube.reflector import Reflector
from rayfleet.kube.watches import Reflectors
from rayfleet.model.absence import Absence
from rayfleet.model.meta import ObjectKey
from rayfleet.reconciling.executor import Executor
from rayfleet.reconciling.own_writes import OwnWrites
from rayfleet.reconciling.passes import Passes, Steps
from rayfleet.reconciling.runtime import Controller, RuntimeSettings, Watch
from rayfleet.reconciling.status_holds import StatusHolds
from rayfleet.reconciling.telemetry import Telemetry, queue_families

Wake = Callable[[ObjectKey], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerPart:
    """One controller, before it is put together; ``settings`` None: those of all.

    ``beside`` runs as long as the controller does and wakes keys for what no store shows. ``rests_on`` maps the name of
    another controller to the keys of it whose children a key's plan counts: no pass begins before the stores show what
    these do by an older spec than theirs of now.
    """

    name: str
    steps: Steps[Any]
    watches: tuple[Watch, ...]
    settings: RuntimeSettings | None = None
    beside: Callable[[Wake], Coroutine[Any, Any, None]] | None = None
    rests_on: Mapping[str, Callable[[ObjectKey], Iterable[ObjectKey]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all controllers of a process share; ``may_act`` is asked before every write, ``now`` before every plan."""

    client: KubeClient
    reflectors: Reflectors
    recorder: EventRecorder
    may_act: Callable[[], bool] = lambda: True
    settings: RuntimeSettings = field(default_factory=RuntimeSettings)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    telemetry: Telemetry = field(default_factory=Telemetry)


async def run_together(parts: Iterable[ControllerPart], shared: Shared) -> None:
    """Run controllers, their reflectors and their recorder until cancelled; the first that fails ends them all."""
    parts = tuple(parts)
    controllers = assembled(parts, shared)  # before the reflectors run: they hear the first lists
    shared.telemetry.shows(lambda: queue_families({each.name: len(each.queue) for each in controllers}))
    async with asyncio.TaskGroup() as tasks:
        for part, controller in zip(parts, controllers, strict=True):
            tasks.create_task(controller.run(), name=controller.name)
            if part.beside is not None:
                tasks.create_task(part.beside(controller.queue.add), name=f"{controller.name}-beside")
        tasks.create_task(shared.recorder.run(), name="events")
        tasks.create_task(shared.reflectors.run(), name="reflectors")


def assembled(parts: Sequence[ControllerPart], shared: Shared) -> tuple[Controller, ...]:
    """Return the controllers, subscribed to the reflectors and not yet running."""
    names = [part.name for part in parts]
    assert len(set(names)) == len(names), f"two controllers of one name: {', '.join(sorted(names))}"
    strangers = {name for part in parts for name in part.rests_on}.difference(names)
    assert not strangers, f"nobody runs what others rest on: {', '.join(sorted(strangers))}"
    controllers: dict[str, Controller] = {}
    for part in parts:
        controllers[part.name] = _controller(part, shared, controllers)
    return tuple(controllers.values())


def _controller(part: ControllerPart, shared: Shared, others: Mapping[str, Controller]) -> Controller:
    """Return one controller; ``others`` are all of the process by their names, once they are made."""
    settings = part.settings or shared.settings
    executor = Executor(
        shared.client, OwnWrites(shared.reflectors), shared.may_act, partial(shared.telemetry.wrote, part.name)
    )
    needed = tuple(watch.reflector for watch in part.watches if not watch.is_optional)
    passes = Passes(
        part.steps,
        executor,
        shared.recorder,
        shared.now,
        lambda: _unreadable(needed),
        StatusHolds(settings.status_hold, _loop_seconds),
    )

    def may_begin(key: ObjectKey) -> bool:
        return all(others[name].is_settled(each) for name, keys in part.rests_on.items() for each in keys(key))

    passed = partial(shared.telemetry.passed, part.name)
    return Controller(part.name, passes, part.watches, settings, passed, may_begin)


def _unreadable(needed: Sequence[Reflector]) -> Absence | None:
    """Return the first absence behind which there may be objects: no plan can rest on what it does not see."""
    absences = (reflector.absence for reflector in needed)
    return next((absence for absence in absences if absence is not None and not absence.is_empty), None)


def _loop_seconds() -> float:
    return asyncio.get_running_loop().time()
