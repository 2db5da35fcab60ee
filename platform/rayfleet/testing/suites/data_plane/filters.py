"""What a rule's filters change, and how weights share requests out."""

from collections import Counter

import pytest

from rayfleet.testing.suites.data_plane.client import request
from rayfleet.testing.suites.data_plane.plane import Capability
from rayfleet.testing.suites.data_plane.rooms.filtering import HOST, SHARED
from rayfleet.testing.suites.data_plane.tested import Stage, TestedPlane

_REDIRECTED = {
    "/moved": (302, "http://new.example/moved"),
    "/moved/x?q=1": (302, "http://new.example/moved/x?q=1"),
    "/old": (301, "http://filters.example/new"),
    "/old/x?q=1": (301, "http://filters.example/new/x?q=1"),
    "/whole/x?q=1": (302, "http://filters.example/all?q=1"),
    "/secure": (302, "https://filters.example:8443/secure"),
}
_REWRITTEN = {
    "/short": "/v1/long",
    "/short/": "/v1/long/",
    "/short/x?q=1": "/v1/long/x?q=1",
    "/root/x": "/x",
    "/root": "/",
    "/one/x?q=1": "/two?q=1",
}


def _get(path: str, *lines: str) -> bytes:
    return request(None, *lines, line=f"GET {path} HTTP/1.1", host=HOST)


class FilterChecks(TestedPlane):
    """Header modifiers, redirects, rewrites, weights."""

    async def test_headers_are_set_added_and_removed_on_the_way_up(self, stage: Stage) -> None:
        """A header that is set replaces all of its name; one that is added stands beside."""
        await stage.listen("a")
        sent = _get("/headers", "X-Set: old", "X-Set: older", "X-Add: one", "X-Gone: here", "X-Stays: here")
        seen = [tuple(pair) for pair in (await stage.send(sent, method="GET")).told("headers")]
        assert [value for name, value in seen if name == "x-set"] == ["new"]
        assert ", ".join(value for name, value in seen if name == "x-add") == "one, more"
        assert not [value for name, value in seen if name == "x-gone"]
        assert ("x-stays", "here") in seen

    async def test_headers_are_set_added_and_removed_on_the_way_back(self, stage: Stage) -> None:
        """Of the engine's answer."""
        await stage.listen("a")
        answer = await stage.send(_get("/headers"), method="GET")
        assert (answer.header("x-out"), answer.header("x-more"), answer.header("content-type")) == ("new", "more", None)

    @pytest.mark.parametrize("path", _REDIRECTED)
    async def test_a_redirect_is_answered_without_an_engine(self, stage: Stage, path: str) -> None:
        """Host, path, scheme and port; what the filter does not name is the request's own."""
        self.need(Capability.REDIRECTS)
        answer = await stage.send(_get(path), method="GET")
        assert (answer.status, answer.header("location")) == _REDIRECTED[path]

    @pytest.mark.parametrize("path", _REWRITTEN)
    async def test_a_rewrite_is_what_the_engine_sees(self, stage: Stage, path: str) -> None:
        """The prefix alone, or the whole path; the query stays."""
        self.need(Capability.REWRITES)
        await stage.listen("a")
        assert (await stage.send(_get(path), method="GET")).told("target") == _REWRITTEN[path]

    async def test_a_rewritten_host_is_what_the_engine_sees(self, stage: Stage) -> None:
        """In place of the client's."""
        self.need(Capability.REWRITES)
        await stage.listen("a")
        seen = (await stage.send(_get("/host"), method="GET")).told("headers")
        assert [value for name, value in seen if name == "host"] == ["inner.example"]

    @pytest.mark.parametrize("path", SHARED)
    async def test_weights_are_shares(self, stage: Stage, path: str) -> None:
        """Of 100 requests; an invalid backend's share is answered with 500."""
        await stage.listen("a", "b")
        answers = [await stage.send(_get(path), method="GET") for _ in range(100)]
        got = Counter(each.told("engine") if each.status == 200 else str(each.status) for each in answers)
        for name, weight in SHARED[path].items():
            assert abs(got[name] - weight) <= (20 if weight else 0), got
        assert set(got) <= set(SHARED[path])
