"""Load plugins, ask each hook once, check what came back, freeze it.

After :func:`load` the plugin manager is gone: contributions are plain objects, called directly. A plugin that cannot be
imported, raises in a hook or returns something else than its contract is a PluginError that names it and says how to go
on without it. Plugins are found by the entry point group ``rayfleet.plugins`` (one module or object each).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TypeVar

import pluggy

from rayfleet.model.engine import LocalEnvironment
from rayfleet.model.errors import PluginError
from rayfleet.plugin import hookspecs
from rayfleet.plugin.contracts import Engine, ModelSource
from rayfleet.plugin.reference import split_reference

ENTRY_POINT_GROUP = "rayfleet.plugins"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.+]*[a-z0-9])?")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What all plugins contribute; read-only."""

    engines: Mapping[str, Engine]
    model_sources: Mapping[str, ModelSource]
    local_environments: tuple[LocalEnvironment, ...]

    def engine(self, name: str) -> Engine:
        """Return the engine of that name; PluginError naming the known ones when there is none."""
        return _known(self.engines, name, "engine")

    def model_source(self, scheme: str) -> ModelSource:
        """Return the model source of that scheme; PluginError naming the known ones when there is none."""
        return _known(self.model_sources, scheme, "model source")

    def source_of(self, reference: str) -> tuple[ModelSource, str] | None:
        """Return who brings a model, and what to ask it for; ``None`` for a name that only the engine understands.

        A scheme that no plugin contributes is a PluginError.
        """
        parts = split_reference(reference)
        return (self.model_source(parts.scheme), parts.rest) if parts.scheme else None


def load(*, disabled: Iterable[str] = (), extra: Mapping[str, object] | None = None) -> Registry:
    """Return what the installed plugins contribute, without those named in ``disabled`` (entry point names).

    ``extra`` adds plugin objects by name, for tests and for programs that embed rayfleet. Raises PluginError.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    skipped = frozenset(disabled)
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        if point.name not in skipped:
            _register(manager, point.name, _imported(point))
    for name, plugin in (extra or {}).items():
        if name not in skipped:
            _register(manager, name, plugin)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = manager.get_name(error.plugin) or str(error.plugin)
        raise _broken(name, f"implements a hook that does not exist: {error}") from error
    return _frozen(manager)


def _imported(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:
        owner = f" of package {point.dist.name} {point.dist.version}" if point.dist else ""
        raise _broken(point.name, f"({point.value}{owner}) cannot be imported: {_told(error)}") from error


def _register(manager: pluggy.PluginManager, name: str, plugin: object) -> None:
    if manager.get_plugin(name) is not None:
        raise PluginError(
            f"two plugins are called {name!r} in the entry point group {ENTRY_POINT_GROUP}",
            way_out="Uninstall one of the packages, or ask its author to rename the entry point.",
        )
    try:
        manager.register(plugin, name)
    except (pluggy.PluginValidationError, ValueError, TypeError) as error:
        raise _broken(name, f"cannot be registered: {error}") from error


def _frozen(manager: pluggy.PluginManager) -> Registry:
    hook = manager.hook
    engines = _named(_contributed(hook.rayfleet_engines, _checked_engine), "engine", lambda engine: engine.name)
    sources = _named(
        _contributed(hook.rayfleet_model_sources, _checked_source), "model source", lambda source: source.scheme
    )
    environments = _named(
        _contributed(hook.rayfleet_local_environments, _checked_environment),
        "local environment",
        lambda environment: environment.name,
    )
    return Registry(
        engines=MappingProxyType(engines),
        model_sources=MappingProxyType(sources),
        local_environments=tuple(environments.values()),
    )


def _contributed(hook: pluggy.HookCaller, checked: Callable[[str, object], _T]) -> list[tuple[str, _T]]:
    """Return (plugin name, contribution) in order of registration.

    Implementations are called one by one and not through the hook caller, so that an error can be laid at one door.
    """
    found: list[tuple[str, _T]] = []
    implementations = sorted(hook.get_hookimpls(), key=lambda implementation: implementation.plugin_name)
    for implementation in implementations:
        name = implementation.plugin_name
        if implementation.wrapper or implementation.hookwrapper:
            raise _broken(name, f"wraps {hook.name}; these hooks take contributions only")
        try:
            result = implementation.function()
        except Exception as error:
            raise _broken(name, f"failed in {hook.name}: {_told(error)}") from error
        if not isinstance(result, Sequence) or isinstance(result, str | bytes):
            raise _broken(name, f"returned {_told_type(result)} from {hook.name}; a list or tuple is wanted")
        found.extend((name, checked(name, item)) for item in result)
    return found


def _named(contributed: Iterable[tuple[str, _T]], kind: str, name_of: Callable[[_T], str]) -> dict[str, _T]:
    named: dict[str, _T] = {}
    owners: dict[str, str] = {}
    for plugin, item in contributed:
        name = name_of(item)
        if name in named:
            raise PluginError(
                f"plugins {owners[name]!r} and {plugin!r} both contribute the {kind} {name!r}",
                way_out=f"Uninstall one, or leave one out with RAYFLEET_DISABLE_PLUGINS={plugin}.",
            )
        named[name], owners[name] = item, plugin
    return named


def _checked_engine(plugin: str, item: object) -> Engine:
    _check_shape(plugin, item, "engine", "name", ("problems", "launch_plan"))
    engine: Engine = item  # type: ignore[assignment] # the shape was checked; Protocols cannot be narrowed to here
    return engine


def _checked_source(plugin: str, item: object) -> ModelSource:
    _check_shape(plugin, item, "model source", "scheme", ("fetch",))
    source: ModelSource = item  # type: ignore[assignment] # the shape was checked
    return source


def _checked_environment(plugin: str, item: object) -> LocalEnvironment:
    if not isinstance(item, LocalEnvironment):
        raise _broken(plugin, f"contributed {_told_type(item)} where a LocalEnvironment is wanted")
    if not item.name or not item.images:
        raise _broken(plugin, f"contributed a local environment without name or images: {item!r}")
    return item


def _check_shape(plugin: str, item: object, kind: str, name_attribute: str, methods: Sequence[str]) -> None:
    if isinstance(item, type):
        raise _broken(plugin, f"contributed the class {item.__qualname__} as {kind}; an object is wanted")
    name = getattr(item, name_attribute, None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _broken(
            plugin,
            f"contributed the {kind} {_told_type(item)} whose {name_attribute} is {name!r}; "
            "lower-case letters, digits and dashes are wanted",
        )
    absent = [method for method in methods if not callable(getattr(item, method, None))]
    if absent:
        raise _broken(plugin, f"contributed the {kind} {name!r} without {', '.join(f'{m}()' for m in absent)}")


def _known(items: Mapping[str, _T], name: str, kind: str) -> _T:
    try:
        return items[name]
    except KeyError:
        pass
    import difflib

    near = difflib.get_close_matches(name, items, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    raise PluginError(
        f"no plugin contributes the {kind} {name!r}{guess}",
        way_out=f"Known: {', '.join(sorted(items)) or 'none'}. Others come with a package that has an entry point "
        f"in {ENTRY_POINT_GROUP}; RAYFLEET_DISABLE_PLUGINS may be hiding one.",
    )


def _broken(plugin: str, what: str) -> PluginError:
    return PluginError(
        f"plugin {plugin!r} {what}",
        way_out=f"Repair or uninstall it, or go on without it: RAYFLEET_DISABLE_PLUGINS={plugin}.",
    )


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _told_type(value: object) -> str:
    return f"a {type(value).__name__}"
