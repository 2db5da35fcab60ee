"""Which models the fleets of a manifest will load in this very environment. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.model.json import ReadOnlyJson
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelToFetch:
    """A model reference, and the form in which the engine loads it."""

    reference: str
    form: ModelFormat


def models_to_fetch(registry: Registry, fleets: Iterable[ReadOnlyJson]) -> tuple[ModelToFetch, ...]:
    """Return each model once, in order.

    Models of engines that run in an environment of their own are theirs to fetch.
    """
    models: dict[ModelToFetch, None] = {}
    for raw in fleets:
        serving = decode_fleet(raw).spec.serving
        if serving is None or registry.source_of(serving.model) is None:
            continue
        engine = registry.engines.get(serving.engine)
        if engine is None or engine.model_format is None or engine.problems(serving):
            continue  # a fleet that cannot be served says so in its status
        image = serving.image or engine.launch_plan(serving).image
        if _is_this_environment(registry, image):
            models[ModelToFetch(reference=serving.model, form=engine.model_format)] = None
    return tuple(models)


def _is_this_environment(registry: Registry, image: str) -> bool:
    return any(
        not environment.cache_folder and environment.stands_for(image)
        for environment in registry.local_environments.values()
    )
