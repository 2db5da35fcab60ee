"""npm's `openai` hears through the gateway what it hears from the engine itself, errors by class included."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing.client_engine import client_engine
from rayfleet.testing.npm import ensure_package, node_program
from rayfleet_gateway.testing import GatewayServer, endpoint_of, table_for

CALLS = Path(__file__).with_name("calls.mjs")
PATHS = ("/v1/embeddings", "/v1/responses", "/v1/moderations", "/v1/audio", "/")
ERRORS = ("BadRequestError", "AuthenticationError", "PermissionDeniedError", "NotFoundError", "ConflictError")
MORE_ERRORS = ("UnprocessableEntityError", "RateLimitError", "InternalServerError", "APIConnectionTimeoutError")


@pytest.fixture(scope="module")
def package() -> Path:
    """Where the package lies; it is fetched once, and what is missing for that is an error that says so."""
    return ensure_package(read_plugin_settings().cache, progress=print)


async def heard(url: str, package: Path) -> dict[str, Any]:
    """Return what each call hears at a URL."""
    process = await asyncio.create_subprocess_exec(
        node_program(), CALLS, url, package, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    results: dict[str, Any] = json.loads(output)
    return results


async def test_every_call_hears_the_same(package: Path) -> None:
    async with client_engine() as engine, GatewayServer(table_for("m", endpoint_of(engine), paths=PATHS)) as gateway:
        direct, through = await heard(engine, package), await heard(gateway.url, package)
    assert {name: (direct[name], through[name]) for name in direct if through[name] != direct[name]} == {}
    assert {name for name, each in direct.items() if "error" in each} == {name for name in direct if "error" in name}
    assert {each["error"] for each in direct.values() if "error" in each} >= {*ERRORS, *MORE_ERRORS}
    assert len(direct) >= 35
