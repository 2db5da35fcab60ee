"""``spec.serving`` against the plugins that are here: the one place that refuses an engine or a model. Pure.

The CLI asks before it sends a fleet, the controllers before they render one, in the same words: every error at its
field, and what to do about a plugin that is not there.
"""

from collections.abc import Collection, Iterator, Mapping

from rayfleet.manifest.checking import did_you_mean, shown
from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.fleet import Fleet
from rayfleet.model.resources import FLEETS
from rayfleet.model.serving import Serving
from rayfleet.plugin.contracts import ABSENT_PLUGIN, Engine
from rayfleet.plugin.reference import split_reference


def checked_engine(fleet: Fleet, serving: Serving, engines: Mapping[str, Engine]) -> Engine:
    """Return the engine of the fleet's ``serving``.

    Raises ManifestError: there is no such engine, or it cannot do what is asked.
    """
    problems = tuple(_engine_problems(serving, engines))
    if problems:
        raise _refused(fleet, problems, is_absent=serving.engine not in engines)
    return engines[serving.engine]


def check_serving(fleet: Fleet, serving: Serving, engines: Mapping[str, Engine], schemes: Collection[str]) -> None:
    """Raise the ManifestError of ``checked_engine``, and of a model whose scheme is none of ``schemes``."""
    foreign = tuple(_scheme_problems(serving, schemes))
    problems = (*_engine_problems(serving, engines), *foreign)
    if problems:
        raise _refused(fleet, problems, is_absent=bool(foreign) or serving.engine not in engines)


def _engine_problems(serving: Serving, engines: Mapping[str, Engine]) -> Iterator[FieldError]:
    engine = engines.get(serving.engine)
    if engine is not None:
        yield from engine.problems(serving)
        return
    message = f"{shown(serving.engine)} is no engine here{_nearest(serving.engine, engines)}"
    yield FieldError(path="spec.serving.engine", message=message)


def _scheme_problems(serving: Serving, schemes: Collection[str]) -> Iterator[FieldError]:
    scheme = split_reference(serving.model).scheme
    if scheme and scheme not in schemes:
        message = f"{shown(scheme)} is no model source here{_nearest(scheme, schemes)}"
        yield FieldError(path="spec.serving.model", message=message)


def _nearest(name: str, known: Collection[str]) -> str:
    return f"{did_you_mean(name, list(known))}; there are: {', '.join(sorted(known)) or 'none'}"


def _refused(fleet: Fleet, problems: tuple[FieldError, ...], *, is_absent: bool) -> ManifestError:
    way_out = ABSENT_PLUGIN if is_absent else ""
    return ManifestError(f"{FLEETS.kind} {fleet.meta.key}", problems, way_out=way_out)
