"""One sick engine among several: what clients see of it."""

import pytest

from rayfleet.testing.suites.data_plane.engines import Heard, Talk, answering, plain, saying
from rayfleet.testing.suites.data_plane.plane import Capability
from rayfleet.testing.suites.data_plane.tested import Stage, TestedPlane
from rayfleet.testing.suites.data_plane.world import Kind
from rayfleet.testing.waiting import until

_GOOD = plain(b'{"is": "well"}')
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


async def _closes(heard: Heard) -> None:
    await heard.request()


_SICK: dict[str, Talk] = {
    "500": answering(plain(b"{}", "500 X")),
    "502": answering(plain(b"{}", "502 X")),
    "503": answering(plain(b"{}", "503 X")),
    "429": answering(plain(b"{}", "429 X")),
    "reset": saying(is_reset=True),
    "closed": _closes,
    "no HTTP": saying(b"HELO\r\n\r\n"),
    "half an answer": saying(_HEAD + b"{"),
}


class SickChecks(TestedPlane):
    """Nobody is sent to an engine that fails for longer than it takes to see it."""

    @pytest.mark.parametrize("name", _SICK)
    async def test_one_of_four_that_fails_costs_a_few_requests(self, stage: Stage, name: str) -> None:
        """At most one in ten of 150, which by fair shares would be one in four."""
        self.need(Capability.EJECTION)
        on = await stage.serve_each(_SICK[name], *[answering(_GOOD)] * 3, kind=Kind.FOUR)
        answers = [await stage.ask(on.model) for _ in range(150)]
        failed = [answer for answer in answers if answer.status != 200 or not answer.is_whole]
        assert len(failed) <= 15

    async def test_one_of_two_that_takes_no_connection_costs_none(self, stage: Stage) -> None:
        """The other one is asked."""
        model, sockets = stage.sockets.take(Kind.PAIR)
        await stage.engine(sockets[1], answering(_GOOD))
        assert {(await stage.ask(model)).status for _ in range(20)} == {200}
        await stage.expect(model, ok=20)

    @pytest.mark.parametrize("name", ["503", "429", "reset", "closed"])
    async def test_a_request_that_one_could_not_take_is_anothers(self, stage: Stage, name: str) -> None:
        """It is asked again, once, before a byte of an answer."""
        on = await stage.serve_each(_SICK[name], answering(_GOOD), kind=Kind.PAIR)
        answers = [await stage.ask(on.model) for _ in range(4)]
        assert {answer.status for answer in answers} == {200}
        await stage.expect(on.model, ok=4)

    async def test_all_of_them_gone_is_a_fast_503(self, stage: Stage) -> None:
        """Which says when to try again."""
        self.need(Capability.EJECTION)
        on = await stage.serve(saying(is_reset=True), kind=Kind.ONE)
        assert [(await stage.ask(on.model)).status for _ in range(3)] == [502] * 3
        refused = await until(
            lambda: stage.ask(on.model), "it is refused", holds=lambda answer: answer.status != 502
        )  # one is tried now and then
        assert (refused.status, refused.code) == (503, "model_not_ready")
        assert int(refused.header("retry-after") or 0) > 0

    async def test_an_engine_that_hangs_is_left_for_another(self, stage: Stage) -> None:
        """By `backendRequest`: requests end in time, and soon none goes there."""
        self.need(Capability.EJECTION)
        on = await stage.serve_each(saying(is_kept=True), answering(_GOOD), kind=Kind.PATIENT)
        statuses = [(await stage.ask(on.model)).status for _ in range(20)]
        assert set(statuses) <= {200, 504}
        assert statuses[-5:] == [200] * 5

    async def test_a_4xx_is_the_clients_business(self, stage: Stage) -> None:
        """However many there are, the engine is not taken out."""
        on = await stage.serve(answering(plain(b'{"error": {}}', "400 X")))
        assert {(await stage.ask(on.model)).status for _ in range(20)} == {400}
        await stage.expect(on.model, **{"4xx": 20})

    async def test_load_is_shared(self, stage: Stage) -> None:
        """Each of four engines gets some of 40 requests."""
        on = await stage.serve(answering(_GOOD), kind=Kind.FOUR)
        for _ in range(40):
            assert (await stage.ask(on.model)).status == 200
        assert all(engine.requests for engine in on.engines)
