"""Load plugins, ask each hook once, check what came back, freeze it.

After :func:`load` the plugin manager is gone: contributions are plain objects, called directly. A plugin that cannot be
imported, was written for another version of the contract, raises in a hook or returns something else than its contract
is a PluginError that names it and says how to go on without it; whoever must go on by itself gives ``refuse`` and hears
of each. So is one whose import or hook does not end within LIMIT_SECONDS, where who loads gives ``bounded`` (a Watch's
``call``). Plugins are found by the entry point group ``rayfleet.plugins`` (one module or object each).
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import pluggy

from rayfleet.manifest.checking import did_you_mean
from rayfleet.model.engine import LocalEnvironment
from rayfleet.model.errors import Overdue, PluginError
from rayfleet.plugin import hookspecs
from rayfleet.plugin.contracts import (
    ABSENT_PLUGIN,
    CONTRACT,
    ENTRY_POINT_GROUP,
    Bounded,
    CommandReader,
    Engine,
    Filter,
    ModelSource,
    Picker,
    Scorer,
    contract_of,
    unbounded,
)
from rayfleet.plugin.contributions import CONTRIBUTIONS, Contribution, contribution_problem, type_words
from rayfleet.plugin.reference import split_reference

LIMIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What all plugins contribute, by name; read-only, in order of the plugins' names."""

    engines: Mapping[str, Engine]
    model_sources: Mapping[str, ModelSource]
    local_environments: Mapping[str, LocalEnvironment]
    command_readers: Mapping[str, CommandReader]
    filters: Mapping[str, Filter]
    scorers: Mapping[str, Scorer]
    pickers: Mapping[str, Picker]

    def source_of(self, reference: str) -> tuple[ModelSource, str] | None:
        """Return who brings a model, and what to ask it for; ``None`` for a name that only the engine understands.

        A scheme that no plugin contributes is a PluginError.
        """
        parts = split_reference(reference)
        if not parts.scheme:
            return None
        source = self.model_sources.get(parts.scheme)
        if source is None:
            known = sorted(self.model_sources)
            raise PluginError(
                f"no plugin contributes the model source {parts.scheme!r}{did_you_mean(parts.scheme, known)}",
                way_out=f"Known: {', '.join(known) or 'none'}. {ABSENT_PLUGIN}",
            )
        return source, parts.rest


def load(
    *,
    disabled: Iterable[str] = (),
    extra: Mapping[str, object] | None = None,
    refuse: Callable[[PluginError], None] | None = None,
    bounded: Bounded = unbounded,
) -> Registry:
    """Return what the installed plugins contribute, without those named in ``disabled`` (entry point names).

    ``extra`` adds plugin objects by name, for tests and for programs that embed rayfleet.
    ``refuse`` hears what cannot be used, and then it is left out; without one it is raised. ``bounded`` ends an import
    or a hook that has no end; without one they are waited for.
    """
    refuse = refuse or _raised
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    skipped = frozenset(disabled)
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        if point.name not in skipped:
            with _at(refuse):
                _register(manager, point.name, _imported(point, bounded))
    for name, plugin in (extra or {}).items():
        if name not in skipped:
            with _at(refuse):
                _register(manager, name, plugin)
    with _at(refuse):
        _check_hooks(manager)
    asking = _Asking(refuse=refuse, bounded=bounded)
    return Registry(**{row.field: MappingProxyType(_by_name(row, manager, asking)) for row in CONTRIBUTIONS})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    refuse: Callable[[PluginError], None]
    bounded: Bounded


@contextlib.contextmanager
def _at(refuse: Callable[[PluginError], None]) -> Iterator[None]:
    try:
        yield
    except PluginError as error:
        refuse(error)


def _raised(error: PluginError) -> None:
    raise error


def _check_hooks(manager: pluggy.PluginManager) -> None:
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = manager.get_name(error.plugin) or str(error.plugin)
        raise _broken(name, f"implements a hook that does not exist: {error}") from error


def _imported(point: EntryPoint, bounded: Bounded) -> Any:
    try:
        return bounded(point.load, LIMIT_SECONDS)
    except (Exception, SystemExit, Overdue) as error:
        owner = f" of package {point.dist.name} {point.dist.version}" if point.dist else ""
        raise _broken(point.name, f"({point.value}{owner}) cannot be imported: {_error_words(error)}") from error


def _register(manager: pluggy.PluginManager, name: str, plugin: object) -> None:
    if manager.get_plugin(name) is not None:
        raise PluginError(
            f"two plugins are called {name!r} in the entry point group {ENTRY_POINT_GROUP}",
            way_out="Uninstall one of the packages, or ask its author to rename the entry point.",
        )
    _check_contract(name, contract_of(plugin))
    try:
        manager.register(plugin, name)
    except (pluggy.PluginValidationError, ValueError, TypeError) as error:
        raise _broken(name, f"cannot be registered: {error}") from error


def _check_contract(name: str, version: int | None) -> None:
    """Raise PluginError for a plugin of another version of the contract; a plugin that says none is of none."""
    if version == CONTRACT:
        return
    go_on = f"or go on without it: RAYFLEET_DISABLE_PLUGINS={name}."
    if version is None:
        raise PluginError(
            f"plugin {name!r} does not say for which version of the contract it was written",
            way_out=f"Here it is version {CONTRACT}: write `rayfleet_contract = {CONTRACT}` in its module, {go_on}",
        )
    way_out = "Install a newer rayfleet, or an older release of it" if version > CONTRACT else "Install a newer one"
    raise PluginError(
        f"plugin {name!r} was written for version {version} of the contract, and this rayfleet has version {CONTRACT}",
        way_out=f"{way_out}, {go_on}",
    )


def _by_name(row: Contribution, manager: pluggy.PluginManager, asking: _Asking) -> dict[str, Any]:
    by_name: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for plugin, item in _contributed(getattr(manager.hook, row.hook), asking):
        with _at(asking.refuse):
            problem = contribution_problem(row, item)
            if problem:
                raise _broken(plugin, problem)
            name = getattr(item, row.key)
            if name in by_name:
                raise PluginError(
                    f"plugins {owners[name]!r} and {plugin!r} both contribute the {row.noun} {name!r}",
                    way_out=f"Uninstall one, or leave one out with RAYFLEET_DISABLE_PLUGINS={plugin}.",
                )
            by_name[name], owners[name] = item, plugin
    return by_name


def _contributed(hook: pluggy.HookCaller, asking: _Asking) -> Iterator[tuple[str, object]]:
    """Yield (plugin name, contribution), in order of the plugins' names.

    Implementations are called one by one and not through the hook caller, so that an error can be laid at one door.
    """
    for implementation in sorted(hook.get_hookimpls(), key=lambda implementation: implementation.plugin_name):
        items: Sequence[object] = ()
        with _at(asking.refuse):
            items = _items_of(hook.name, implementation, asking.bounded)
        yield from ((implementation.plugin_name, item) for item in items)


def _items_of(hook: str, implementation: pluggy.HookImpl, bounded: Bounded) -> Sequence[object]:
    name = implementation.plugin_name
    if implementation.wrapper or implementation.hookwrapper:
        raise _broken(name, f"wraps {hook}; these hooks take contributions only")
    try:
        result: object = bounded(implementation.function, LIMIT_SECONDS)
    except (Exception, SystemExit, Overdue) as error:
        raise _broken(name, f"failed in {hook}: {_error_words(error)}") from error
    if not isinstance(result, Sequence) or isinstance(result, str | bytes):
        raise _broken(name, f"returned {type_words(result)} from {hook}; a list or tuple is wanted")
    return result


def _broken(plugin: str, what: str) -> PluginError:
    return PluginError(
        f"plugin {plugin!r} {what}",
        way_out=f"Repair or uninstall it, or go on without it: RAYFLEET_DISABLE_PLUGINS={plugin}.",
    )


def _error_words(error: BaseException) -> str:
    if isinstance(error, Overdue):
        return f"it did not end within {LIMIT_SECONDS:g} s"
    return f"{type(error).__name__}: {error}"
