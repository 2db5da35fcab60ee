"""``spec.serving`` against the plugins that are here: the engine exists, and can do what is asked."""

from rayfleet.model.errors import ManifestError
from rayfleet.model.serving import Serving
from rayfleet.plugin.contracts import Engine
from rayfleet.plugin.registry import Registry


def checked_engine(registry: Registry, subject: str, serving: Serving) -> Engine:
    """Return the engine of ``serving``.

    Raises PluginError when the engine (or the scheme of the model) is nobody's, ManifestError with what the engine
    cannot do.
    """
    engine = registry.engine(serving.engine)
    registry.source_of(serving.model)
    problems = engine.problems(serving)
    if problems:
        raise ManifestError(subject, problems)
    return engine
