"""The page of metrics, made beside the loop that every stream shares.

The loop only copies numbers, ``_SLICE`` models at a time with a turn for everybody between, so that a page of 2,000
models holds nobody up for more than a millisecond; the text is made in a thread, which gives the interpreter back every
half millisecond while it works (CPython's own interval is 5 ms). Content negotiation is prometheus_client's: the
classic text, or OpenMetrics to whoever accepts it.
"""

import asyncio
import copy
import sys
from collections.abc import Iterable, Iterator

from prometheus_client import ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from rayfleet_gateway.telemetry.counts import Telemetry
from rayfleet_gateway.telemetry.exposition import Family, text
from rayfleet_gateway.telemetry.families import ModelSample, Snapshot, families, sampled

_SLICE = 100
_SWITCH_SECONDS = 0.0005


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
    _, content_type = choose_encoder(accept)
    is_openmetrics = content_type.startswith("application/openmetrics-text")
    page = text((*families(snapshot), *_of_process()), is_openmetrics=is_openmetrics)
    return page.encode("utf-8", "replace"), CONTENT_TYPE_LATEST if is_openmetrics else CONTENT_TYPE_PLAIN_0_0_4


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


def _of_process() -> Iterator[Family]:
    """Yield the processor time, memory and open files of this process, by Prometheus' usual names."""
    for metric in ProcessCollector(registry=None).collect():
        rows = [(tuple(sample.labels.values()), sample.value) for sample in metric.samples]
        yield Family(name=metric.name, kind=metric.type, meaning=metric.documentation, rows=rows)
