"""An engine's map of metrics as one flag of the sidecar's command line, and back. Pure.

The sidecar's image holds no engine's plugin of a third party, so the map travels with the pod. Controllers and sidecars
may be of two versions: a field that this one does not know is passed over.
"""

import json
from dataclasses import fields

from rayfleet.model.engine import MetricMap


def encode_metric_map(metrics: MetricMap) -> str:
    """Return the map as JSON, only what is said; empty when nothing is."""
    given = {each.name: list(getattr(metrics, each.name)) for each in fields(metrics) if getattr(metrics, each.name)}
    return json.dumps(given, separators=(",", ":")) if given else ""


def decode_metric_map(text: str) -> MetricMap:
    """Return the map that ``encode_metric_map`` wrote. Raises ValueError, saying what is wrong."""
    raw = json.loads(text) if text else {}
    if not isinstance(raw, dict):
        raise ValueError(f"{text!r} is no JSON object")  # noqa: TRY004 - a value of a flag, not a type in the program
    known = {each.name: raw.get(each.name, []) for each in fields(MetricMap)}
    for name, sources in known.items():
        if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
            raise ValueError(f"{name!r} is no list of series")
    return MetricMap(**{name: tuple(sources) for name, sources in known.items()})
