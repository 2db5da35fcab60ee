"""Every raw request over sockets is read in one way, or refused (rayfleet.testing.raw_requests)."""

from rayfleet.testing.raw_requests import CASES, Recorder, faults, play
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.testing import GatewayServer, table_for


async def test_no_request_is_smuggled_and_every_error_is_openais() -> None:
    async with Recorder() as engine:
        table = table_for("m", Endpoint(address="127.0.0.1", port=engine.port))
        async with GatewayServer(table) as gateway:
            wrong = {case.name: faults(case, await play(case, gateway.port, engine)) for case in CASES}
    assert {name: found for name, found in wrong.items() if found} == {}
