"""The reflector when the watch goes wrong: what it asks next, and what its listeners hear."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from aiohttp import web

from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient
from rayfleet.kube.reflector import Reflector, ReflectorSettings
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import CONFIG_MAPS
from rayfleet.testing.ports import held_ports
from rayfleet.testing.scripted_server import json_answer, scripted_server, status_answer
from rayfleet.testing.waiting import LIMIT_SECONDS, until

QUICK = ReflectorSettings(
    first_backoff=timedelta(milliseconds=1),
    stall_limit=timedelta(minutes=5),  # a busy machine writes a script's lines by and by
    watch_timeout=timedelta(minutes=5),
)
HANG = b""


def config_map(name: str, version: int, size: int = 0) -> Json:
    meta = {"name": name, "namespace": "n", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"x": "y" * size}}


def line(kind: str, body: ReadOnlyJson) -> bytes:
    return orjson.dumps({"type": kind, "object": body}) + b"\n"


def bookmark(version: int) -> bytes:
    return line("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


EXPIRED = line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})


class Script:
    """The lists and watches that a server will answer, in order; the last watch hangs.

    ``asked`` is where watches began.
    """

    def __init__(self, lists: Sequence[Sequence[ReadOnlyJson] | int], watches: Sequence[Sequence[bytes] | int]) -> None:
        self.lists = list(lists)
        self.watches = list(watches)
        self.asked: list[str] = []
        self.listed = 0
        self.done = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            items = self.lists[min(self.listed, len(self.lists) - 1)]
            self.listed += 1
            if isinstance(items, int):
                return status_answer(items, "Refused")
            meta = {"resourceVersion": str(100 * self.listed)}
            return json_answer({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": meta, "items": list(items)})
        self.asked.append(request.query["resourceVersion"])
        if not self.watches:
            self.done.set()
        watch = self.watches.pop(0) if self.watches else [HANG]
        if isinstance(watch, int):
            return status_answer(watch, "Expired" if watch == 410 else "ServerFault")
        response = web.StreamResponse()
        await response.prepare(request)
        for each in watch:
            if each == HANG:
                await asyncio.sleep(600)
            await response.write(each)
        return response


@asynccontextmanager
async def reflecting(
    script: Script, settings: ReflectorSettings = QUICK
) -> AsyncIterator[tuple[Reflector, list[tuple[str, str]]]]:
    """Run a reflector until the script is over; give it and what its listener heard: (what, name)."""
    heard: list[tuple[str, str]] = []

    def listen(old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
        what = "gone" if new is None else "added" if old is None else "changed"
        found = new or old
        assert found is not None
        heard.append((what, found["metadata"]["name"]))

    async with scripted_server(script.answer) as address, KubeClient(address) as client:
        reflector = Reflector(client, CONFIG_MAPS, "n", settings=settings)
        reflector.subscribe(listen)
        reflector.subscribe_absence(
            lambda: heard.append(("absence", reflector.absence.reason if reflector.absence else ""))
        )
        task = asyncio.ensure_future(reflector.run())
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await script.done.wait()
            yield reflector, heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_an_error_event_410_lists_again_and_tells_the_differences() -> None:
    first = [config_map("kept", 1), config_map("lost", 2), config_map("moved", 3)]
    second = [config_map("kept", 1), config_map("moved", 150), config_map("new", 160)]
    script = Script([first, second], [[EXPIRED]])
    async with reflecting(script) as (reflector, heard):
        assert heard[3:] == [("gone", "lost"), ("changed", "moved"), ("added", "new")]
        assert script.asked == ["100", "200"]
        assert len(reflector.store) == 3


async def test_a_list_taken_in_pieces_gives_the_loop_its_turns_and_tells_what_is_new_before_what_is_gone() -> None:
    """What goes first would leave a reader without either for a while."""
    first = [config_map(f"old-{number}", 1) for number in range(4)]
    second = [config_map(f"new-{number}", 150) for number in range(4)]
    turns: list[int] = []
    async with reflecting(Script([first, second], [[EXPIRED]]), replace(QUICK, items_at_once=2)) as (reflector, heard):
        names = [(what, name.split("-")[0]) for what, name in heard]
        assert names == [*[("added", "old")] * 4, *[("added", "new")] * 4, *[("gone", "old")] * 4]
        assert len(reflector.store) == 4
        pieces = asyncio.ensure_future(reflector._put_in_pieces([config_map(f"x-{n}", 1) for n in range(4)], 2))
        while not pieces.done():
            turns.append(len(reflector.store))
            await asyncio.sleep(0)
    assert 6 in turns


async def test_a_410_answer_lists_again() -> None:
    script = Script([[config_map("a", 1)]], [410])
    async with reflecting(script) as (_, heard):
        assert script.listed == 2
        assert heard == [("added", "a")]


@pytest.mark.parametrize("too_old", [410, [EXPIRED]])
async def test_a_watch_that_is_too_old_is_followed_by_a_list_at_once(too_old: Sequence[bytes] | int) -> None:
    async with reflecting(Script([[]], [too_old]), replace(QUICK, first_backoff=timedelta(hours=1))):
        pass  # the script came to its end without a pause


async def test_a_list_that_is_too_old_again_and_again_is_not_asked_for_in_a_loop() -> None:
    settings = replace(QUICK, first_backoff=timedelta(hours=1))
    script = Script([[]], [410, 410, 410])
    async with scripted_server(script.answer) as address, KubeClient(address) as client:
        task = asyncio.ensure_future(Reflector(client, CONFIG_MAPS, "n", settings=settings).run())
        await until(lambda: len(script.asked) == 2, "a list, and the one after it, are too old")
        await asyncio.sleep(0.2)  # a third list would come at once
        assert script.listed == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_server_that_took_no_connection_is_soon_asked_again() -> None:
    settings = replace(QUICK, longest_backoff=timedelta(hours=1), longest_backoff_refused=timedelta(milliseconds=5))
    script = Script([[config_map("a", 1)]], [])
    with held_ports(1) as (port,):  # nobody listens there for now
        async with KubeClient(KubeAddress(url=f"http://127.0.0.1:{port}")) as client:
            reflector = Reflector(client, CONFIG_MAPS, "n", settings=settings)
            task = asyncio.ensure_future(reflector.run())
            await until(lambda: reflector.failures_in_a_row >= 25, "two hundred days of pauses, were they to double")
            async with scripted_server(script.answer, port=port):
                async with asyncio.timeout(LIMIT_SECONDS):
                    await reflector.synced()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("code", "reason", "objects"),
    [(404, "NoSuchKind", [("gone", "a"), ("added", "a")]), (403, "Forbidden", [("changed", "a")])],
)
async def test_a_kind_that_goes_and_comes_back_is_told_as_a_fact(
    code: int, reason: str, objects: Sequence[tuple[str, str]]
) -> None:
    script = Script([[config_map("a", 1)], code, code, code, [config_map("a", 400)]], [410])
    async with reflecting(script) as (_, heard):
        assert [each for each in heard if each[0] == "absence"] == [("absence", reason), ("absence", "")]
        assert [each for each in heard[1:] if each[0] != "absence"] == objects


async def test_two_answers_are_no_absence_yet() -> None:
    script = Script([404, 404, [config_map("a", 1)]], [])
    async with reflecting(script) as (_, heard):
        assert heard == [("added", "a")]


async def test_a_kind_that_was_never_there_holds_nobody_up() -> None:
    script = Script([404], [])
    async with scripted_server(script.answer) as address, KubeClient(address) as client:
        reflector = Reflector(client, CONFIG_MAPS, "n", settings=QUICK)
        task = asyncio.ensure_future(reflector.run())
        async with asyncio.timeout(LIMIT_SECONDS):
            await reflector.settled()
        assert not reflector.is_synced
        assert reflector.absence is not None
        assert "ConfigMap" in reflector.absence.message
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_ended_watch_goes_on_from_its_last_version() -> None:
    script = Script(
        [[]], [[line("ADDED", config_map("a", 120)), bookmark(130)], [line("MODIFIED", config_map("a", 140))]]
    )
    async with reflecting(script) as (reflector, heard):
        assert script.asked == ["100", "130", "140"]
        assert script.listed == 1
        assert heard == [("added", "a"), ("changed", "a")]
        assert reflector.has_seen("140")
        assert not reflector.has_seen("141")


async def test_a_silent_watch_is_given_up_and_goes_on_from_its_last_version() -> None:
    script = Script([[]], [[bookmark(130), HANG]])
    async with reflecting(script, replace(QUICK, stall_limit=timedelta(seconds=0.5))) as (_, _heard):
        assert script.asked == ["100", "130"]
        assert script.listed == 1


async def test_a_failing_server_is_asked_again() -> None:
    script = Script([[]], [500, 503, [line("ADDED", config_map("a", 420))]])
    async with reflecting(script) as (_, heard):
        assert heard == [("added", "a")]


async def test_a_server_that_ends_each_watch_at_once_is_not_asked_in_a_loop() -> None:
    script = Script([[]], [[], [], []])
    async with reflecting(script) as (reflector, _):
        assert reflector.failures_in_a_row == 3
        assert script.asked == ["100"] * 4


async def test_an_object_of_many_megabytes_comes_through() -> None:
    script = Script([[]], [[line("ADDED", config_map("big", 120, size=5_000_000))]])
    async with reflecting(script) as (reflector, _):
        (big,) = reflector.store.list()
        assert len(big["data"]["x"]) == 5_000_000


async def test_a_late_older_event_is_dropped() -> None:
    script = Script([[config_map("a", 150)]], [[line("MODIFIED", config_map("a", 140))]])
    async with reflecting(script) as (reflector, heard):
        assert heard == [("added", "a")]
        assert reflector.store.list()[0]["metadata"]["resourceVersion"] == "150"


async def test_a_busy_server_is_given_the_time_that_it_asks_for() -> None:
    answers = [status_answer(429, "TooManyRequests", retryAfterSeconds=1), json_answer({"metadata": {"name": "a"}})]

    async def answer(_request: web.Request) -> web.StreamResponse:
        return answers.pop(0)

    async with scripted_server(answer) as address, KubeClient(address) as client:
        started = asyncio.get_running_loop().time()
        await client.get(CONFIG_MAPS, "a", "n")
        assert asyncio.get_running_loop().time() - started >= 1


async def test_a_continue_token_that_expires_reads_the_list_again_in_one_page() -> None:
    limits: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        limits.append(request.query.get("limit", ""))
        if "continue" in request.query:
            return status_answer(410, "Expired")
        meta = {"resourceVersion": "7"} | ({"continue": "token"} if "limit" in request.query else {})
        return json_answer(
            {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": meta, "items": [config_map("a", 1)]}
        )

    async with scripted_server(answer) as address, KubeClient(address) as client:
        assert len((await client.list(CONFIG_MAPS, limit=1)).items) == 1
    assert limits == ["1", "1", ""]
