"""The table of faults: what an engine does, and what ``/ready``, ``/status`` and ``/metrics`` have to say of it.

``test_fault_table.py`` holds the sidecar to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.parts.sidecar.scripted import CLOSES, HANGS, TOKEN, Deed, Reply, error, load, nodes, page, said

from rayfleet.testing.waiting import LIMIT_SECONDS
from rayfleet_sidecar.metrics.engine_page import PageState

CHAT, PAGE, HEALTH, NODES, LOAD = "/v1/completions", "/metrics", "/health", "/nodes", "/load"
FROZEN = dict.fromkeys((HEALTH, NODES, CHAT, PAGE, LOAD, "/v1/models"), HANGS)
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

    ``failed`` are the checks of ``/status`` that have failed, ``words`` are somewhere in the message. ``page`` is what
    ``/metrics`` says of the engine's page, ``in_flight`` of the requests in it: None where it cannot say.
    """

    reason: str
    failed: tuple[str, ...] = ()
    words: str = ""
    replies: Mapping[str, Reply] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    stage: str | None = None
    page: PageState = PageState.OK
    in_flight: int | None = 0

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


def tells(state: PageState, reply: Reply) -> Case:
    return Case(
        reason="Ready", page=state, in_flight=None, replies={PAGE: reply}, steps=(Step(seconds=5), Step(seconds=5))
    )


def loads(reply: Reply, in_flight: int | None = 0) -> Case:
    return Case(reason="Ready", in_flight=in_flight, replies={LOAD: reply}, steps=(Step(seconds=5), Step(seconds=5)))


_PATHS = {"health": HEALTH, "nodes": NODES, "chat": CHAT, "page": PAGE}
HUGE = Reply(body=b"steps_total 1\n" * 4_000_000)
A_FAILURE = Step(replies={PAGE: page(failed=3)})
FIRST_STEP = (Step(replies={CHAT: HANGS, LOAD: load(2)}), Step(seconds=3), Step(seconds=3))
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
        page=PageState.UNREACHABLE,
        in_flight=None,
        steps=(Step(is_gone=True),),
    ),
    "is frozen": Case(
        reason="EngineUnreachable",
        failed=("Health",),
        stage="EngineStart",
        page=PageState.LATE,
        in_flight=None,
        steps=(Step(replies=FROZEN),),
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
        in_flight=2,
        steps=(Step(replies={PAGE: page(running=2, steps=7)}), Step(seconds=5), Step(seconds=120)),
    ),
    "a rank is frozen and the port alone knows of clients": Case(
        reason="EngineStalled",
        failed=("Progress",),
        words="no step for",
        in_flight=2,
        steps=(*FIRST_STEP, Step(seconds=60), Step(seconds=60)),
    ),
    "a first step is long and the port alone knows of clients": Case(
        reason="Ready", in_flight=1, steps=(*FIRST_STEP, Step(seconds=60), Step(seconds=50))
    ),
    "a prefill is long": Case(
        reason="Ready",
        in_flight=1,
        steps=(Step(seconds=5, replies={PAGE: page(running=1, steps=7)}), Step(seconds=114)),
    ),
    "a prefill is long and moves": Case(
        reason="Ready",
        in_flight=1,
        steps=tuple(Step(seconds=60, replies={PAGE: page(running=1, steps=number)}) for number in range(5)),
    ),
    "a rank of an idle engine is frozen": Case(
        reason="CanaryMissed",
        failed=("Generation",),
        words="alone in the engine",
        steps=(Step(replies={CHAT: HANGS}), Step(seconds=3), Step(seconds=3), Step(seconds=3)),
    ),
    "a canary waits behind clients": Case(reason="Ready", in_flight=2, steps=(Step(), BUSY_CANARY, Step(seconds=60))),
    "a canary is late and the engine moves": Case(
        reason="Ready",
        in_flight=1,
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
        in_flight=9,
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
    "the load is garbage": loads(said("{")),
    "the load is a list": loads(said([2])),
    "the load is a text": loads(said({"n": "2"})),
    "the load is not there": loads(Reply(status=404)),
    "the load hangs": loads(HANGS, in_flight=None),
    "metrics of 50 MB": tells(PageState.TOO_LARGE, HUGE),
    "metrics have no end": tells(PageState.TOO_LARGE, Reply(deed=Deed.ENDLESS)),
    "metrics hang": tells(PageState.LATE, HANGS),
    "metrics are JSON": tells(PageState.UNREADABLE, said({"a": 1})),
    "metrics are refused": tells(PageState.REFUSED, Reply(status=401)),
    "metrics are cut": tells(PageState.UNREACHABLE, Reply(body=b"running 1\nsteps_to", deed=Deed.CUT)),
}
