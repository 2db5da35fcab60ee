"""What changes while a plane runs, and how it ends."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from rayfleet.model.json import Json
from rayfleet.testing.suites.data_plane.client import body_of, connected, request
from rayfleet.testing.suites.data_plane.engines import (
    DONE,
    END,
    EVENT,
    EVENTS_HEAD,
    Heard,
    Talk,
    chunk,
    echoing,
    saying,
)
from rayfleet.testing.suites.data_plane.messages import Message
from rayfleet.testing.suites.data_plane.objects import matching, route, rule, served
from rayfleet.testing.suites.data_plane.plane import IDLE_SECONDS, Capability
from rayfleet.testing.suites.data_plane.tested import Stage, TestedPlane
from rayfleet.testing.waiting import until

_LIMIT_SECONDS = 60


def _ending_at(release: asyncio.Event) -> Talk:
    """Return an engine whose stream ends when it is told to."""

    async def talk(heard: Heard) -> None:
        await heard.request()
        await heard.write(EVENTS_HEAD, chunk(EVENT))
        await release.wait()
        await heard.write(chunk(DONE) + END)

    return talk


async def _going_on(heard: Heard) -> None:
    """Stream without an end, so that no silence ends it sooner than the drain does."""
    await heard.request()
    await heard.write(EVENTS_HEAD)
    while not heard.gone.is_set():
        await heard.write(chunk(EVENT))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(heard.gone.wait(), IDLE_SECONDS / 6)


def _reached(name: str, sock: socket.socket) -> tuple[Json, ...]:
    """Return the objects by which a model of this name is served there."""
    return (*served(name, [sock.getsockname()]), route(name, rule(matching(model=name), to=name)))


async def _asked(port: int, model: str) -> Message:
    async with connected(port) as client:
        client.send(request(body_of(model)))
        return await client.answer()


class LifeChecks(TestedPlane):
    """Routes come and go without harm, and the end breaks nothing that may finish."""

    async def test_a_route_comes_and_goes(self, stage: Stage, tmp_path: Path) -> None:
        """Others are served meanwhile as before, and a stream outlives its route."""
        release = asyncio.Event()
        sockets = {name: stage.sockets.take_one() for name in ("stays", "comes")}
        await stage.engine(sockets["stays"], echoing("stays"))
        await stage.engine(sockets["comes"], _ending_at(release))
        stays, comes = (_reached(name, sock) for name, sock in sockets.items())
        with self.running(stays, tmp_path) as plane:

            async def status() -> int:
                assert (await _asked(plane.port, "stays")).status == 200
                async with connected(plane.port) as client:
                    client.send(request(body_of("comes")))
                    return int((await client.reader.readuntil(b"\r\n")).split()[1])

            assert await status() == 404
            plane.apply((*stays, *comes))
            await until(status, "the route is served", _LIMIT_SECONDS, holds=lambda now: now == 200)
            stream = asyncio.create_task(_asked(plane.port, "comes"))
            await asyncio.sleep(0.1)  # it is on its way
            plane.apply(stays)
            await until(status, "the route is not served", _LIMIT_SECONDS, holds=lambda now: now == 404)
            release.set()
            assert (await stream).body == EVENT + DONE

    async def _stopped(self, stage: Stage, folder: Path, *, hurries: bool) -> list[Message]:
        """Return the answers to a stream that ends within the drain, one that does not, and a request in vain."""
        release = asyncio.Event()
        talks = {
            "ends": _ending_at(release),
            "goes-on": _going_on,
            "hangs": saying(is_kept=True),
        }
        taken = {name: stage.sockets.take_one() for name in talks}
        engines = [await stage.engine(taken[name], talk) for name, talk in talks.items()]
        objects = tuple(each for name, sock in taken.items() for each in _reached(name, sock))
        with self.running(objects, folder) as plane:
            asked = [asyncio.create_task(_asked(plane.port, name)) for name in talks]
            await until(lambda: all(engine.requests for engine in engines), "all are asked", _LIMIT_SECONDS)
            await asyncio.sleep(0.1)  # their first events are on their way
            plane.terminate()
            await self._until_nobody_listens(plane.port)
            release.set()
            if hurries:
                await asked[0]
                plane.terminate()
            answers = await asyncio.gather(*asked)
            assert await asyncio.to_thread(plane.ended, _LIMIT_SECONDS) == 0
        return answers

    async def _until_nobody_listens(self, port: int) -> None:
        async def is_refused() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return True
            writer.close()
            return False

        await until(is_refused, "new connections are refused", _LIMIT_SECONDS)

    @pytest.mark.parametrize("hurries", [False, True])
    async def test_a_stop_breaks_nothing_that_may_finish(self, stage: Stage, tmp_path: Path, hurries: bool) -> None:
        """What does not end in time is told so; a second signal is the end of that time."""
        self.need(Capability.DRAIN)
        whole, cut, refused = await self._stopped(stage, tmp_path, hurries=hurries)
        assert (whole.is_whole, whole.body) == (True, EVENT + DONE)
        assert (cut.is_whole, cut.last_error) == (True, "gateway_stopping")
        assert (refused.status, refused.code) == (503, "gateway_stopping")
