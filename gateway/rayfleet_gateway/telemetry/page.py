"""The page of metrics, made beside the loop that every stream shares.

The loop only copies numbers, ``_SLICE`` models at a time with a turn for everybody between, so that a page of 2,000
models holds nobody up for more than a millisecond; the text is made in a thread, which gives the interpreter back every
half millisecond while it works (CPython's own interval is 5 ms). Content negotiation is Prometheus' own: the classic
text, or OpenMetrics to whoever accepts it.
"""

import asyncio
import copy
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rayfleet_gateway.telemetry.counts import Telemetry
from rayfleet_gateway.telemetry.families import ModelSample, Snapshot, families, sampled

_SLICE = 100
_SWITCH_SECONDS = 0.0005


@dataclass(slots=True)
class _Families(Collector):
    """What prometheus_client's encoders want: something with ``collect``."""

    snapshot: Snapshot

    def collect(self) -> Iterable[Metric]:
        yield from families(self.snapshot)
        yield from ProcessCollector(registry=None).collect()


def snapshots(telemetry: Telemetry, ready: Iterable[tuple[str, int]], now: float) -> Iterator[Snapshot | None]:
    """Yield None between slices, and last the snapshot. ``ready``: every routed model with its ready endpoints.

    ``now`` is on the clock of ``tallies.table_changed_at``.
    """
    samples: list[ModelSample] = []
    for number, series in enumerate(telemetry.all_series, 1):
        samples.append(sampled(series))
        if not number % _SLICE:
            yield None
    endpoints: list[tuple[str, int]] = []
    for number, model in enumerate(ready, 1):
        endpoints.append(model)
        if not number % _SLICE:
            yield None
    changed_at = telemetry.tallies.table_changed_at
    yield Snapshot(
        models=samples,
        ready_endpoints=endpoints,
        answers=dict(telemetry.answers),
        refusals=dict(telemetry.refusals.counts),
        timings=copy.deepcopy(telemetry.timings),
        tallies=copy.deepcopy(telemetry.tallies),
        table_age_seconds=None if changed_at is None else now - changed_at,
    )


def encoded(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """Return the page and its content type, for what a scraper accepts."""
    encode, content_type = choose_encoder(accept)
    return encode(_Families(snapshot)), content_type


async def page(telemetry: Telemetry, ready: Iterable[tuple[str, int]], accept: str) -> tuple[bytes, str]:
    """Return the page and its content type; the loop's lag counts anew."""
    snapshot = None
    for snapshot in snapshots(telemetry, ready, asyncio.get_running_loop().time()):
        if snapshot is None:
            await asyncio.sleep(0)
    assert snapshot is not None
    telemetry.tallies.loop_lag_seconds = 0.0
    return await asyncio.to_thread(_encoded_politely, snapshot, accept)


def _encoded_politely(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        return encoded(snapshot, accept)
    finally:
        sys.setswitchinterval(usual)
