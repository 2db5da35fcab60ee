"""The maps of metrics that engine plugins beside the sidecar bring, for one that is told none on its command line.

A map is an entry point of the group ``rayfleet.metric_maps``, by the engine's name: a module that needs nothing but the
map's own type, since whatever it imports lies beside every engine.
"""

import logging

from rayfleet.model.engine import MetricMap

GROUP = "rayfleet.metric_maps"
log = logging.getLogger(__name__)


def known_map(engine: str) -> MetricMap:
    """Return the map of the engine of that name; an empty one when nobody brings it, or it cannot be loaded."""
    from importlib import metadata  # 10 ms and 1 MiB, which a sidecar with a map on its command line saves

    for point in metadata.entry_points(group=GROUP, name=engine):
        try:
            metrics = point.load()
        except (ImportError, AttributeError) as error:
            log.warning("an engine's map of metrics cannot be loaded", extra={"engine": engine, "because": str(error)})
            continue
        if isinstance(metrics, MetricMap):
            return metrics
    return MetricMap()
