"""Metrics pages: the sidecar's own few lines, and the engine's under their own names.

Written by hand in Prometheus' text format 0.0.4: four metrics do not pay for a client library's 10 MiB beside every engine.
"""

from datetime import UTC, datetime
from typing import Protocol

from rayfleet_sidecar.readiness import Judgement, Reason
from rayfleet_sidecar.settings import SidecarSettings


class Judged(Protocol):
    """What a page is made from."""

    judgement: Judgement
    transitions: int
    generations: dict[str, int]


def own_page(judge: Judged, settings: SidecarSettings) -> str:
    """Return the sidecar's metrics."""
    judgement = judge.judgement
    engine = _escaped(settings.engine)
    seconds = (datetime.now(UTC) - judgement.since).total_seconds()
    reasons = "".join(
        f'rayfleet_sidecar_engine_state{{engine="{engine}",reason="{reason.value}"}} {int(judgement.reason is reason)}\n'
        for reason in Reason
    )
    generations = "".join(
        f'rayfleet_sidecar_generations_total{{engine="{engine}",result="{result}"}} {count}\n'
        for result, count in sorted(judge.generations.items())
    )
    return (
        "# HELP rayfleet_sidecar_engine_ready Whether the engine is ready for requests.\n"
        "# TYPE rayfleet_sidecar_engine_ready gauge\n"
        f'rayfleet_sidecar_engine_ready{{engine="{engine}"}} {int(judgement.is_ready)}\n'
        "# HELP rayfleet_sidecar_engine_state The current reason is 1, the others 0.\n"
        "# TYPE rayfleet_sidecar_engine_state gauge\n"
        f"{reasons}"
        "# HELP rayfleet_sidecar_state_seconds Seconds since the reason last changed.\n"
        "# TYPE rayfleet_sidecar_state_seconds gauge\n"
        f'rayfleet_sidecar_state_seconds{{engine="{engine}"}} {seconds:.3f}\n'
        "# HELP rayfleet_sidecar_transitions_total Changes of the reason.\n"
        "# TYPE rayfleet_sidecar_transitions_total counter\n"
        f'rayfleet_sidecar_transitions_total{{engine="{engine}"}} {judge.transitions}\n'
        "# HELP rayfleet_sidecar_generations_total One-token generations asked of the engine.\n"
        "# TYPE rayfleet_sidecar_generations_total counter\n"
        f"{generations}"
    )


def merged_page(own: str, engine: str) -> str:
    """Return both pages as one that ends with a newline; an engine that claims one of our names cannot be merged and is left out."""
    if not engine or "rayfleet_sidecar_" in engine:
        return own
    return own + engine.rstrip("\n").removesuffix("# EOF").rstrip("\n") + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
