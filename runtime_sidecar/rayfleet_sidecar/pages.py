"""Metrics pages: the sidecar's own few lines, and the engine's under their own names.

Written by hand in Prometheus' text format 0.0.4: four metrics do not pay for a client library's 10 MiB beside every
engine.
"""

import re
from datetime import UTC, datetime
from typing import Protocol

from rayfleet_sidecar.readiness import Judgement, Reason
from rayfleet_sidecar.settings import SidecarSettings


class Judged(Protocol):
    """What a page is made from."""

    judgement: Judgement
    transitions: int
    errors: int
    generations: dict[str, int]


_OURS = "rayfleet_sidecar_"
# A sample of text format 0.0.4: name, labels, value, perhaps a time in milliseconds.
_SAMPLE = re.compile(
    r"[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*(?:\{.*\})?[ \t]+(?:[+-]?[0-9.][0-9.eE+-]*|NaN|[+-]?Inf)(?:[ \t]+-?[0-9]+)?[ \t]*"
)


def own_page(judge: Judged, settings: SidecarSettings, *, has_engine_page: bool) -> str:
    """Return the sidecar's metrics; ``has_engine_page`` says whether the engine's follow."""
    judgement = judge.judgement
    engine = _escaped(settings.engine)
    seconds = (datetime.now(UTC) - judgement.since).total_seconds()
    reasons = "".join(
        f'rayfleet_sidecar_engine_state{{engine="{engine}",reason="{reason.value}"}} '
        f"{int(judgement.reason is reason)}\n"
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
        "# HELP rayfleet_sidecar_judge_errors_total Unexpected errors of the judge; each is in the log.\n"
        "# TYPE rayfleet_sidecar_judge_errors_total counter\n"
        f'rayfleet_sidecar_judge_errors_total{{engine="{engine}"}} {judge.errors}\n'
        "# HELP rayfleet_sidecar_engine_page_up Whether the engine's own metrics are on this page.\n"
        "# TYPE rayfleet_sidecar_engine_page_up gauge\n"
        f'rayfleet_sidecar_engine_page_up{{engine="{engine}"}} {int(has_engine_page)}\n'
        "# HELP rayfleet_sidecar_generations_total One-token generations asked of the engine.\n"
        "# TYPE rayfleet_sidecar_generations_total counter\n"
        f"{generations}"
    )


def usable_page(text: str) -> str:
    """Return an engine's page as it may follow ours, with a newline at its end.

    Empty when it would spoil the whole page.

    Spoilt by a line that is no sample (TensorRT-LLM's ``/metrics`` is JSON, a page may be cut short) and by one of our
    own names.
    """
    lines = text.splitlines()
    if any(line and not line.startswith("#") and _SAMPLE.fullmatch(line) is None for line in lines):
        return ""
    if any(line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(_OURS) for line in lines):
        return ""
    kept = [line for line in lines if line and line != "# EOF"]
    return "\n".join(kept) + "\n" if kept else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
