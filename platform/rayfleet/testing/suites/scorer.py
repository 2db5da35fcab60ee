"""What the gateway expects of filters, scorers and pickers, as tests: subclass one with your plugin and a name.

Needs no gateway. The limits are the gateway's own: what fails here is switched off there.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import MappingProxyType

from rayfleet.plugin.contracts import ENTRY_POINT_GROUP, EndpointView, Filter, Picker, RequestView, Scorer
from rayfleet.plugin.registry import Registry, load

SLOW_SECONDS = 0.005
CALLS = 10
COUNTS = (1, 2, 3, 16, 17, 64, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """A request as plugins see it."""

    model: str = "m"
    path: str = "/v1/completions"
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: bytes = b'{"model": "m", "prompt": "Hello"}'
    request_id: str = "r-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEndpoint:
    """An endpoint as plugins see it."""

    name: str
    in_flight: int = 0
    share: float = 1.0


REQUESTS: tuple[RequestView, ...] = (
    SampleRequest(),
    SampleRequest(path="/v1/chat/completions", headers=MappingProxyType({"x-session-id": "a", "user-agent": "x"})),
    SampleRequest(model="", body=b""),
    SampleRequest(body=b"\x1f\x8b\x00 no text", headers=MappingProxyType({"content-encoding": "gzip"})),
    SampleRequest(headers=MappingProxyType({"x-session-id": "\xe4\udc80" * 8000}), request_id=""),
    SampleRequest(body=b'{"prompt": "' + b"x" * 4_000_000 + b'"}'),
)


def endpoints_of(count: int) -> tuple[EndpointView, ...]:
    """Return so many endpoints, all different, some of them busy and some with a small share."""
    return tuple(
        SampleEndpoint(name=f"10.0.{place // 250}.{place % 250}:8000", in_flight=place % 7, share=1 / (1 + place % 3))
        for place in range(count)
    )


class _Suite:
    """``plugin`` is the module or object that contributes ``name``; ``requests`` may get some of your own."""

    plugin: object
    name: str
    requests: Sequence[RequestView] = REQUESTS

    def _loaded(self) -> Registry:
        return load(disabled=_installed(), extra={"suite": self.plugin})

    def _calls(self, ask: Callable[[RequestView, tuple[EndpointView, ...]], None]) -> None:
        for request in self.requests:
            for count in COUNTS:
                ask(request, endpoints_of(count))

    def _seconds(self, ask: Callable[[RequestView, tuple[EndpointView, ...]], None]) -> float:
        """Return the time that the slowest request takes at its quickest, with 64 endpoints."""
        return max(min(_timed(ask, request) for _ in range(CALLS)) for request in self.requests)


class ScorerSuite(_Suite):
    """Holds a scorer to its contract."""

    @property
    def scorer(self) -> Scorer:
        """The scorer, through the registry."""
        return self._loaded().scorers[self.name]

    def test_its_plugin_contributes_it(self) -> None:
        """By its name, and with nothing that the registry refuses."""
        assert self.scorer.name == self.name

    def test_it_rates_each_endpoint_from_0_to_1(self) -> None:
        """Whatever the request, and however many endpoints there are."""
        scorer = self.scorer

        def rate(request: RequestView, endpoints: tuple[EndpointView, ...]) -> None:
            scores = scorer.score(request, endpoints)
            assert len(scores) == len(endpoints)
            assert all(0 <= score <= 1 for score in scores)

        self._calls(rate)

    def test_it_returns_at_once(self) -> None:
        """Every stream of the gateway waits meanwhile."""
        scorer = self.scorer
        assert self._seconds(lambda request, endpoints: _drop(scorer.score(request, endpoints))) < SLOW_SECONDS


class FilterSuite(_Suite):
    """Holds a filter to its contract."""

    @property
    def filter(self) -> Filter:
        """The filter, through the registry."""
        return self._loaded().filters[self.name]

    def test_its_plugin_contributes_it(self) -> None:
        """By its name, and with nothing that the registry refuses."""
        assert self.filter.name == self.name

    def test_it_judges_each_endpoint(self) -> None:
        """Whatever the request, and however many endpoints there are."""
        judge = self.filter

        def keep(request: RequestView, endpoints: tuple[EndpointView, ...]) -> None:
            assert len(judge.keep(request, endpoints)) == len(endpoints)

        self._calls(keep)

    def test_it_returns_at_once(self) -> None:
        """Every stream of the gateway waits meanwhile."""
        judge = self.filter
        assert self._seconds(lambda request, endpoints: _drop(judge.keep(request, endpoints))) < SLOW_SECONDS


class PickerSuite(_Suite):
    """Holds a picker to its contract."""

    @property
    def picker(self) -> Picker:
        """The picker, through the registry."""
        return self._loaded().pickers[self.name]

    def test_its_plugin_contributes_it(self) -> None:
        """By its name, and with nothing that the registry refuses."""
        assert self.picker.name == self.name

    def test_it_picks_one_of_the_endpoints(self) -> None:
        """With scores, with scores of zero and without, whatever the chance."""
        picker = self.picker

        def pick(request: RequestView, endpoints: tuple[EndpointView, ...]) -> None:
            count = len(endpoints)
            rising = [place / count for place in range(count)]
            for scores in ([], [0.0] * count, rising):
                for chance in (0.0, 0.5, 1 - 2**-53):
                    assert picker.pick(request, endpoints, scores, chance) in range(count)

        self._calls(pick)

    def test_it_returns_at_once(self) -> None:
        """Every stream of the gateway waits meanwhile."""
        picker = self.picker
        assert self._seconds(lambda request, endpoints: _drop(picker.pick(request, endpoints, (), 0.5))) < SLOW_SECONDS


def _installed() -> tuple[str, ...]:
    return tuple(point.name for point in entry_points(group=ENTRY_POINT_GROUP))


def _timed(ask: Callable[[RequestView, tuple[EndpointView, ...]], None], request: RequestView) -> float:
    endpoints = endpoints_of(64)
    began = time.perf_counter()
    ask(request, endpoints)
    return time.perf_counter() - began


def _drop(_: object) -> None:
    """Take what is only made to be timed."""
