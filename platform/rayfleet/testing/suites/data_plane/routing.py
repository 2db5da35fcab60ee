"""Who answers: each request of the rooms, by its route alone; and shares by weight."""

import pytest

from rayfleet.testing.suites.data_plane.client import body_of, request
from rayfleet.testing.suites.data_plane.rooms import ROOMS, Asked, Room
from rayfleet.testing.suites.data_plane.rooms.models import NAME
from rayfleet.testing.suites.data_plane.rooms.room import ENGINES
from rayfleet.testing.suites.data_plane.tested import Stage, TestedPlane

_CASES = [pytest.param(room, asked, id=f"{room.host}: {name}") for room in ROOMS for name, asked in room.asked.items()]


class RoutingChecks(TestedPlane):
    """A request is answered by the engine that its route names, or refused in OpenAI's shape."""

    @pytest.mark.parametrize(("room", "asked"), _CASES)
    async def test_a_request_goes_where_its_route_says(self, stage: Stage, room: Room, asked: Asked) -> None:
        """By model, path, precedence, host, method, header, parameter and reference."""
        self.need(*asked.needs)
        await stage.listen(*ENGINES, NAME, "granted", "not-granted")
        body = body_of(asked.model) if asked.model else asked.body
        line = f"{asked.method} {asked.path} HTTP/1.1"
        answer = await stage.send(request(body, *asked.headers, line=line, host=asked.host or room.host))
        assert answer.is_whole
        if asked.engine:
            assert (answer.status, answer.told("engine")) == (200, asked.engine)
            assert (answer.told("method"), answer.told("target")) == (asked.method, asked.path)
        else:
            assert (answer.status, answer.code) == (asked.status, asked.code)
            assert (answer.header("allow"), answer.header("x-request-id") is None) == (
                "POST" if asked.status == 405 else None,
                False,
            )
