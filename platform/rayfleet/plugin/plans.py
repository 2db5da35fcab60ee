"""The launch plan of an engine that is a frame and nothing else. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from rayfleet.model.engine import EngineProbe, LaunchPlan
from rayfleet.plugin.frame import RAY_VERSION, Frame, head_launch, worker_launch


def plan_of(
    frame: Frame,
    *,
    image: str,
    probe: EngineProbe | None = None,
    ray_start_params: Mapping[str, str] = MappingProxyType({}),
) -> LaunchPlan:
    """Return the plan whose head and workers are started by ``frame``, in ``image`` with the Ray that it is tried with.

    ``probe``: how the sidecar asks; without one at the paths and the port that engines usually have, see EngineProbe.
    """
    return LaunchPlan(
        image=image,
        ray_version=RAY_VERSION,
        head=head_launch(frame, dict(ray_start_params)),
        worker=worker_launch(frame, dict(ray_start_params)),
        probe=probe or EngineProbe(),
    )
