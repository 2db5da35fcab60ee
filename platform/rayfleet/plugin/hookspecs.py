"""The hooks. Called once, while a process is composed; what they return is checked, frozen, and then used directly."""

from collections.abc import Sequence

import pluggy

from rayfleet.model.engine import LocalEnvironment
from rayfleet.plugin.contracts import Engine, ModelSource

PROJECT = "rayfleet"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def rayfleet_engines() -> Sequence[Engine]:
    """Contribute engines; ``spec.serving.engine`` names one.

    Names are unique among all plugins: a second one is a PluginError that names both. Order does not matter.

    :return: New engine objects; the registry owns them from then on.
    """
    raise NotImplementedError


@hookspec
def rayfleet_model_sources() -> Sequence[ModelSource]:
    """Contribute model sources, by the scheme before the colon of ``spec.serving.model``; unique among all plugins.

    :return: New model sources; they are called in worker threads.
    """
    raise NotImplementedError


@hookspec
def rayfleet_local_environments() -> Sequence[LocalEnvironment]:
    """Contribute environments that stand for container images on a single machine; names are unique.

    :return: Values; the node looks an image up in them when a pod starts.
    """
    raise NotImplementedError
