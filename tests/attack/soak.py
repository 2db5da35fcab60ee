"""Every fault of engines and clients, mixed: each request ends once, is told once, and looks whole only when it is."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

from tests.attack.engine import running_engine
from tests.attack.healthy import is_right
from tests.attack.process import write_routes
from tests.attack.scene import Scene
from tests.attack.wire import HOST, Answer, asked, prompt, read_answer, request

_SEED = 20_260_102
_WORKERS = 64
_MODELS = 8
_LEAVING = 0.2
_WEIGHTS = {
    "plain": 30,
    "stream": 30,
    "slow-stream": 2,
    "page 100000": 3,
    "tiny-chunks 10000": 1,
    "resets": 4,
    "half-a-head": 4,
    "garbage": 4,
    "too-short": 5,
    "too-long": 5,
    "cut-stream": 6,
    "no-done": 4,
    "until-reset": 4,
    "bad-chunk": 4,
    "error-event": 4,
    "status 500": 4,
    "status 503": 4,
    "status 429": 2,
    "status 400": 2,
    "hangs": 0.3,
    "never-ends": 0.3,
}
FLAGS = ("--first-byte-timeout", "5", "--idle-timeout", "5")
_LOG_LOOKS = 300
_TOLD = frozenset({200, 400, 429, 500, 502, 503, 504})


async def _lines(scene: Scene, ids: Sequence[str]) -> Counter[str]:
    """Count the log's lines by request, as soon as each of ``ids`` has one; its thread writes a moment later."""
    for _ in range(_LOG_LOOKS):
        lines = Counter(str(line["request_id"]) for line in scene.gateway.access_lines())
        if lines.keys() >= set(ids):
            break
        await asyncio.sleep(0.1)
    return lines


async def soak(scene: Scene) -> None:
    """Ask for everything, of engines that serve several models in pairs."""
    async with AsyncExitStack() as stack:
        models = {}
        for number in range(_MODELS):
            ports = [await stack.enter_async_context(running_engine(scene.book)) for _ in range(2)]
            models[f"soak-{number}"] = [*ports, 1] if number % 4 == 3 else ports  # nobody listens on port 1
        write_routes(scene.gateway.folder, models, "soak")
        while (await asked(scene.port, request(prompt("plain", f"soak-{_MODELS - 1}")))).status == 404:
            await asyncio.sleep(0.1)
        await _asked_all(scene)
        await scene.gateway.until_at_rest(30)
    ids = [f"soak-{number}" for number in range(scene.size.soak)]
    lines = await _lines(scene, ids)
    wrong = [(each, lines[each]) for each in ids if lines[each] != 1]
    scene.verdict.expect(f"{len(wrong)} requests have not one line: {wrong[:5]}", holds=not wrong)


async def _asked_all(scene: Scene) -> None:
    chance = random.Random(_SEED)  # noqa: S311 - to be the same each time
    deeds = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=scene.size.soak)
    left = [(f"soak-{number}", deed, chance.random()) for number, deed in enumerate(deeds)]
    results: Counter[str] = Counter()
    wrong: list[str] = []

    async def work() -> None:
        while left:
            request_id, deed, luck = left.pop()
            model = f"soak-{int(request_id[5:]) % _MODELS}"
            answer = await _ask(scene.port, request_id, prompt(deed, model), luck)
            if answer is None:
                results["left"] += 1
                continue
            results[str(answer.status) if answer.is_whole else "cut"] += 1
            if fault := _fault(answer, request_id, deed):
                wrong.append(f"{request_id} {deed}: {fault} {answer.status} {answer.body[-200:]!r}")

    await asyncio.gather(*(work() for _ in range(_WORKERS)))
    scene.verdict.figures |= {"results": dict(sorted(results.items())), "deeds": len(scene.book.deeds)}
    scene.verdict.expect(f"{len(wrong)} answers are wrong: {wrong[:3]}", holds=not wrong)
    never = {deed for deed in _WEIGHTS if not scene.book.deeds[deed if "status" in deed else deed.split()[0]]}
    scene.verdict.expect(f"every deed was done; not {never}", holds=not never or scene.size.soak < 5000)


async def _ask(port: int, request_id: str, body: bytes, luck: float) -> Answer | None:
    """Return the answer; None of a client that left, which ``luck`` says."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request(body, more=f"X-Request-Id: {request_id}\r\n"))
        if luck >= _LEAVING:
            return await read_answer(reader)
        async with asyncio.timeout(0.02 + luck):
            await reader.read(1)
    except TimeoutError:
        return None
    except OSError:
        return Answer()
    finally:
        writer.close()
    return None


def _fault(answer: Answer, request_id: str, deed: str) -> str:
    """Return what is wrong with an answer, nothing when it is what it says it is."""
    if not answer.is_whole:
        return "" if answer.status == 200 else "neither an answer nor an error:"
    if answer.status not in _TOLD:
        return "no status of ours:"
    if answer.status != 200:
        return "" if b'"error"' in answer.body else "an error without words:"
    is_page = deed.startswith(("page", "tiny")) and len(answer.body) == int(deed.split()[1])
    is_whole = is_page or any(is_right(answer, request_id, is_stream=is_stream) for is_stream in (False, True))
    return "" if is_whole or b'"error"' in answer.body else "it looks whole:"
