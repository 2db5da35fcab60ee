"""The table of faults: what an engine does over real sockets, and what ``/ready``, ``/status`` and ``/metrics`` say.

Time that matters to a verdict passes by hand; only answers that never come take the fraction of a second that is their
limit here.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp import AiohttpClient
from tests.parts.sidecar.scripted import (
    CLOSES,
    HANGS,
    TOKEN,
    Deed,
    Reply,
    ScriptedEngine,
    error,
    nodes,
    page,
    said,
    scripted_engine,
)

from rayfleet.model.engine import TrafficMetrics
from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.keys import JUDGE
from rayfleet_sidecar.observation import Observation, ReadinessRules
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.testing import HandClock

TRAFFIC = TrafficMetrics(
    running=("running",), steps=("steps_total",), served=("served_total",), failed=("failed_total",)
)
CHAT, PAGE, HEALTH, NODES = "/v1/completions", "/metrics", "/health", "/nodes"
FROZEN = dict.fromkeys((HEALTH, NODES, CHAT, PAGE, "/v1/models"), HANGS)
OVERLOADED = error(429, "too many requests")
BROKEN = error(500, "EngineDeadError")
STREAMED_ERROR = said('data: {"error": {"message": "EngineCore died"}}\n\ndata: [DONE]\n\n')


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Seconds that pass by hand, then what the engine does from now on."""

    seconds: float = 0
    replies: Mapping[str, Reply] = field(default_factory=dict)
    is_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``replies`` are there from the start; ``steps`` come when the engine has become ready.

    ``failed`` are the checks of ``/status`` that have failed, ``words`` are somewhere in the message.
    """

    reason: str
    failed: tuple[str, ...] = ()
    words: str = ""
    replies: Mapping[str, Reply] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    stage: str | None = None

    @property
    def limits(self) -> dict[str, timedelta]:
        """How long an answer may take: little only where one never comes that is waited for."""
        parts = (self.replies, *(step.replies for step in self.steps))
        replies = [reply for part in parts for path, reply in part.items() if path != CHAT]
        never = any(reply.deed in {Deed.HANG, Deed.ENDLESS} for reply in replies)
        return {"answer_limit": timedelta(seconds=0.5 if never else LIMIT_SECONDS)}


def starts(reason: str, stage: str, failed: str, words: str = "", **replies: Reply) -> Case:
    by_path = {_PATHS[name]: reply for name, reply in replies.items()}
    return Case(reason=reason, stage=stage, failed=(failed,) if failed else (), words=words, replies=by_path)


_PATHS = {"health": HEALTH, "nodes": NODES, "chat": CHAT, "page": PAGE}
HUGE = Reply(body=b"steps_total 1\n" * 4_000_000)
A_FAILURE = Step(replies={PAGE: page(failed=3)})
BUSY_CANARY = Step(seconds=3, replies={CHAT: HANGS, PAGE: page(running=2)})

CASES: dict[str, Case] = {
    # A start
    "hangs at load": starts("EngineStarting", "EngineStart", "Health", "no answer within", health=HANGS),
    "exits in a loop": starts("EngineStarting", "EngineStart", "Health", health=CLOSES),
    "speaks no HTTP": starts("EngineStarting", "EngineStart", "Health", health=Reply(raw=b"\x00\x01garbage\r\n\r\n")),
    "loads": starts("EngineLoading", "EngineLoad", "Health", "Loading model", health=error(503, "Loading model")),
    "loads without a word": starts("EngineLoading", "EngineLoad", "Health", "status 503", health=Reply(status=503)),
    "health is a page of errors": starts(
        "EngineLoading", "EngineLoad", "Health", "oops", health=Reply(status=500, body=b"<b>oops</b>")
    ),
    "health leads elsewhere": starts("EngineLoading", "EngineLoad", "Health", "302", health=Reply(status=302)),
    "health is not there": starts("EngineLoading", "EngineLoad", "Health", "404", health=Reply(status=404)),
    "health is cut": starts("EngineStarting", "EngineStart", "Health", health=Reply(body=b"ok", deed=Deed.CUT)),
    "health has no end": starts("EngineStarting", "EngineStart", "Health", health=Reply(deed=Deed.ENDLESS)),
    "generation breaks": starts("GenerationFailed", "FirstToken", "Generation", "EngineDeadError", chat=BROKEN),
    "generation kills the connection": starts("GenerationFailed", "FirstToken", "Generation", chat=CLOSES),
    "generation is an error with 200": starts(
        "GenerationFailed", "FirstToken", "Generation", "without a choice", chat=error(200, "out of memory")
    ),
    "generation has no choice": starts(
        "GenerationFailed", "FirstToken", "Generation", "without a choice", chat=said({"choices": []})
    ),
    "generation is garbage": starts("GenerationFailed", "FirstToken", "Generation", chat=said("\x00}{")),
    "generation is empty": starts("GenerationFailed", "FirstToken", "Generation", chat=Reply()),
    "generation is no object": starts("GenerationFailed", "FirstToken", "Generation", chat=said([1, 2])),
    "generation streams an error": starts("GenerationFailed", "FirstToken", "Generation", chat=STREAMED_ERROR),
    "generation is cut": starts(
        "GenerationFailed", "FirstToken", "Generation", chat=Reply(body=b'{"cho', deed=Deed.CUT)
    ),
    "generation has no end": starts(
        "GenerationFailed", "FirstToken", "Generation", "more than", chat=Reply(deed=Deed.ENDLESS)
    ),
    "the model is not served": starts(
        "GenerationFailed", "FirstToken", "Generation", "does not exist", chat=error(404, "m does not exist")
    ),
    "the key is wrong": starts("GenerationFailed", "FirstToken", "Generation", "401", chat=error(401, "Unauthorized")),
    "refuses the first token": starts("GenerationFailed", "FirstToken", "Generation", "429", chat=OVERLOADED),
    "never generates": Case(
        reason="GenerationFailed",
        stage="FirstToken",
        failed=("Generation",),
        words="no token within",
        replies={CHAT: HANGS},
        settings={"token_limit": timedelta(milliseconds=50)},
    ),
    "generation is awaited": starts("Warming", "FirstToken", "", chat=HANGS),
    "serves no model": Case(
        reason="GenerationFailed",
        stage="FirstToken",
        failed=("Generation",),
        replies={"/v1/models": said({"data": []})},
        settings={"model": ""},
    ),
    "a node is missing": starts(
        "RayNodesMissing", "RayNodes", "RayNodes", "1/2 Ray nodes are alive; dead: b", nodes=nodes("a", dead=("b",))
    ),
    "a node is too many": starts("RayNodesMissing", "RayNodes", "RayNodes", "3/2", nodes=nodes("a", "b", "c")),
    "Ray is silent": starts("RayNodesUnknown", "RayNodes", "", nodes=Reply(status=503)),
    "Ray hangs": starts("RayNodesUnknown", "RayNodes", "", nodes=HANGS),
    "Ray's view is garbage": starts("RayNodesUnknown", "RayNodes", "", nodes=said("[")),
    "Ray's view is a list": starts("RayNodesUnknown", "RayNodes", "", nodes=said(["a", "b"])),
    "Ray's nodes are a number": starts("RayNodesUnknown", "RayNodes", "", nodes=said({"alive": 2})),
    # A life
    "stays well": Case(reason="Ready", steps=(Step(), Step(seconds=3), Step(seconds=3))),
    "says that it is unwell": Case(
        reason="EngineFailing", failed=("Health",), steps=(Step(replies={HEALTH: Reply(status=503)}),)
    ),
    "is gone": Case(
        reason="EngineUnreachable",
        failed=("Health",),
        words="refused",
        stage="EngineStart",
        steps=(Step(is_gone=True),),
    ),
    "is frozen": Case(
        reason="EngineUnreachable", failed=("Health",), stage="EngineStart", steps=(Step(replies=FROZEN),)
    ),
    "loses a node": Case(
        reason="RayNodesMissing",
        failed=("RayNodes",),
        words="dead: b",
        stage="RayNodes",
        steps=(Step(replies={NODES: nodes("a", dead=("b",))}),),
    ),
    "Ray falls silent": Case(reason="RayNodesUnknown", stage="RayNodes", steps=(Step(replies={NODES: HANGS}),)),
    "a rank is frozen under load": Case(
        reason="EngineStalled",
        failed=("Progress",),
        words="no step for",
        steps=(Step(replies={PAGE: page(running=2, steps=7)}), Step(seconds=5), Step(seconds=120)),
    ),
    "a prefill is long": Case(
        reason="Ready", steps=(Step(seconds=5, replies={PAGE: page(running=1, steps=7)}), Step(seconds=114))
    ),
    "a prefill is long and moves": Case(
        reason="Ready",
        steps=tuple(Step(seconds=60, replies={PAGE: page(running=1, steps=number)}) for number in range(5)),
    ),
    "a rank of an idle engine is frozen": Case(
        reason="CanaryMissed",
        failed=("Generation",),
        words="alone in the engine",
        steps=(Step(replies={CHAT: HANGS}), Step(seconds=3), Step(seconds=3), Step(seconds=3)),
    ),
    "a canary waits behind clients": Case(reason="Ready", steps=(Step(), BUSY_CANARY, Step(seconds=60))),
    "a canary is late and the engine moves": Case(
        reason="Ready",
        steps=(
            Step(replies={CHAT: HANGS}),
            Step(seconds=3),
            *(Step(seconds=3, replies={PAGE: page(running=1, steps=number)}) for number in range(1, 6)),
        ),
    ),
    "an idle engine has lost its generation": Case(
        reason="GenerationFailed",
        failed=("Generation",),
        words="EngineDeadError",
        steps=(Step(replies={CHAT: BROKEN}), Step(seconds=3), Step(seconds=1), Step(seconds=1)),
    ),
    "a full engine refuses the canary": Case(
        reason="Ready",
        steps=(
            Step(replies={CHAT: OVERLOADED}),
            Step(seconds=3),
            *(Step(seconds=1, replies={PAGE: page(running=9, steps=number)}) for number in range(9)),
        ),
    ),
    "clients' generations fail, and the judge's": Case(
        reason="GenerationFailed",
        failed=("Generation",),
        words="EngineDeadError",
        steps=(Step(replies={CHAT: BROKEN}), A_FAILURE, Step(seconds=5)),
    ),
    "clients' generations fail, and the judge's does not": Case(
        reason="Ready", steps=(Step(replies={CHAT: TOKEN}), A_FAILURE, Step(seconds=5))
    ),
    "metrics of 50 MB": Case(reason="Ready", replies={PAGE: HUGE}, steps=(Step(seconds=5), Step(seconds=5))),
    "metrics have no end": Case(
        reason="Ready", replies={PAGE: Reply(deed=Deed.ENDLESS)}, steps=(Step(seconds=5), Step(seconds=5))
    ),
    "metrics hang": Case(reason="Ready", replies={PAGE: HANGS}, steps=(Step(seconds=5), Step(seconds=5))),
    "metrics are JSON": Case(reason="Ready", replies={PAGE: said({"a": 1})}, steps=(Step(seconds=5),)),
    "metrics are refused": Case(reason="Ready", replies={PAGE: Reply(status=401)}, steps=(Step(seconds=5),)),
    "metrics are cut": Case(
        reason="Ready", replies={PAGE: Reply(body=b"running 1\nsteps_to", deed=Deed.CUT)}, steps=(Step(seconds=5),)
    ),
}


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    async with scripted_engine() as running:
        yield running


@dataclass(slots=True)
class Site:
    """A sidecar beside the engine."""

    engine: ScriptedEngine
    client: TestClient[web.Request, web.Application]
    clock: HandClock

    async def looked(self, times: int = 3) -> None:
        """Wait until so many looks have ended; the first may have begun before."""
        for _ in range(times):
            await self._look_after(self.client.app[JUDGE].observation)

    async def _look_after(self, seen: Observation | None) -> None:
        await until(lambda: self.client.app[JUDGE].observation is not seen, "a look", every=0.002)

    async def ready(self) -> dict[str, Any]:
        answer = await self.client.get("/ready")
        content: dict[str, Any] = await answer.json()
        assert (answer.status == 200) is content["ready"] is (content["reason"] == "Ready")
        return content

    async def until_reason(self, reason: str) -> dict[str, Any]:
        return await until(self.ready, f"the reason {reason}", holds=lambda content: content["reason"] == reason)

    async def take(self, step: Step) -> None:
        self.engine.replies.update(step.replies)
        if step.is_gone:
            await self.engine.close()
        if step.replies and step.seconds:
            await self.looked()
        self.clock.advance(step.seconds)
        await self.looked()


async def opened(engine: ScriptedEngine, aiohttp_client: AiohttpClient, **changes: Any) -> Site:
    plain: dict[str, Any] = {
        "engine_url": engine.url,
        "model": "m",
        "rules": ReadinessRules(expected_nodes=2),
        "nodes_url": f"{engine.url}/nodes",
        "judge_period": timedelta(milliseconds=5),
        "answer_limit": timedelta(seconds=0.5),
        "traffic": TRAFFIC,
    }
    clock = HandClock()
    return Site(engine, await aiohttp_client(make_app(SidecarSettings(**(plain | changes)), clock)), clock)


@pytest.mark.parametrize("name", CASES)
async def test_each_fault_has_its_words_on_every_page(
    name: str, engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    case = CASES[name]
    engine.replies.update(case.replies)
    site = await opened(engine, aiohttp_client, **case.limits, **case.settings)
    if case.steps:
        await site.until_reason("Ready")
        for step in case.steps:
            await site.take(step)
    content = await site.until_reason(case.reason)
    await site.looked()
    content = await site.until_reason(case.reason)
    assert case.words in content["message"]
    status = await (await site.client.get("/status")).json()
    assert (status["reason"], status["stage"]) == (case.reason, case.stage)
    checks = {check["name"]: check for check in status["checks"]}
    assert list(checks) == ["RayNodes", "Health", "Generation", "Progress"]
    assert tuple(check for check in checks if checks[check]["passed"] is False) == case.failed
    assert all(check["reason"] and check["message"] and check["since"] for check in checks.values())
    families = text_string_to_metric_families(await (await site.client.get("/metrics")).text())
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    assert samples["rayfleet_sidecar_engine_ready"] == (case.reason == "Ready")
    assert await (await site.client.get("/healthz")).json() == {"status": "ok"}


async def test_a_stage_that_takes_too_long_is_named(engine: ScriptedEngine, aiohttp_client: AiohttpClient) -> None:
    engine.replies[HEALTH] = error(503, "Loading model")
    site = await opened(engine, aiohttp_client)
    await site.until_reason("EngineLoading")
    site.clock.advance(15 * 60 + 1)
    await site.looked()
    words = "the engine is loading: Loading model (stalled in stage EngineLoad, which should be over in 15 min)"
    assert (await site.ready())["message"] == words
    assert (await (await site.client.get("/status")).json())["stalled_stage"] == "EngineLoad"


async def test_the_stages_of_a_start_are_told_in_their_order_and_anew_after_a_loss(
    engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    engine.replies.update({NODES: nodes("a"), HEALTH: HANGS})
    site = await opened(engine, aiohttp_client)
    for seconds, reason, replies in (
        (10, "RayNodesMissing", {NODES: nodes("a", "b"), HEALTH: error(503, "Loading model")}),
        (20, "EngineLoading", {HEALTH: Reply(), CHAT: HANGS}),
        (40, "Warming", {HEALTH: HANGS}),
        (1, "EngineUnreachable", {HEALTH: Reply(), CHAT: TOKEN}),
    ):
        await site.until_reason(reason)
        site.clock.advance(seconds)
        engine.replies.update(replies)
    await site.until_reason("Ready")
    status = await (await site.client.get("/status")).json()
    told = [(stage["name"], stage["seconds"]) for stage in status["stages"] if stage["seconds"]]
    assert told == [("RayNodes", 10), ("EngineLoad", 20), ("FirstToken", 40), ("EngineStart", 1)]
    assert (status["stage"], all(stage["is_over"] for stage in status["stages"])) == (None, True)
    await engine.close()
    await site.until_reason("EngineUnreachable")
    status = await (await site.client.get("/status")).json()
    assert [stage["name"] for stage in status["stages"]] == [status["stage"]] == ["EngineStart"]
