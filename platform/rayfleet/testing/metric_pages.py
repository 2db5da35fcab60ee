"""Pages of metrics as Prometheus' own client reads them, in both formats: the judge of what our parts write."""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as _read_open
from prometheus_client.parser import text_string_to_metric_families


def read_classic(text: str) -> Iterable[Metric]:
    """Return the families of a page in the text format. Raises ValueError for what it cannot read."""
    return text_string_to_metric_families(text)


def read_open(text: str) -> Iterable[Metric]:
    """Return the families of a page in OpenMetrics. Raises ValueError for what breaks a rule of it."""
    families: Iterable[Metric] = _read_open(text)  # type: ignore[no-untyped-call]  # the client's types lack this one
    return families
