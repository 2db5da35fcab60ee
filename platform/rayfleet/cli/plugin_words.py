"""What ``plugins`` says: rows of a list, lines about one plugin, and the table of a check."""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rayfleet.cli.columns import columns
from rayfleet.model.errors import PluginError
from rayfleet.plugin.contracts import ENTRY_POINT_GROUP, contract_of
from rayfleet.plugin.contributions import CONTRIBUTIONS
from rayfleet.plugin.registry import Registry, load
from rayfleet.plugin.settings import read_plugin_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPlugin:
    """A plugin that was loaded alone. ``problems``: why it, or a part of it, cannot be used.

    ``contract`` is the version of the contract that it says it was written for, None where it says none.
    """

    point: EntryPoint
    registry: Registry
    problems: tuple[PluginError, ...]
    contract: int | None
    is_disabled: bool

    @property
    def package(self) -> str:
        """Its package and version: ``rayfleet 0.1.0``."""
        return f"{self.point.dist.name} {self.point.dist.version}" if self.point.dist else "unknown"

    @property
    def contract_words(self) -> str:
        """The version of the contract, or a dash."""
        return "-" if self.contract is None else str(self.contract)

    @property
    def contributions(self) -> tuple[tuple[str, str, object], ...]:
        """What it brings: noun, name, object."""
        return tuple(
            (row.noun, name, item) for row in CONTRIBUTIONS for name, item in getattr(self.registry, row.field).items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KitCheck:
    """A check of the kit: ``result`` is held, broken or off, ``message`` why it is not held."""

    engine: str
    check: str
    result: str
    message: str
    words: str
    place: str

    @property
    def title(self) -> str:
        """Its name as a sentence."""
        return self.check.replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the kit said. ``error``: there was nothing to check; ``cut_short``: how it ended before its last check."""

    checks: tuple[KitCheck, ...]
    error: str = ""
    cut_short: str = ""

    @classmethod
    def of(cls, facts: Iterable[Mapping[str, Any]], status: int, error_text: str) -> "Verdict":
        """Return the verdict of the kit's lines, its exit status and what it wrote to stderr."""
        checks: list[KitCheck] = []
        engine = error = ""
        is_whole = False
        for fact in facts:
            match fact:
                case {"check": _}:
                    checks.append(KitCheck(engine=engine, **fact))
                case {"engine": str(name)}:
                    engine = name
                case {"error": str(text)}:
                    error = text
                case {"end": True}:
                    is_whole = True
        if is_whole or error:
            return cls(checks=tuple(checks), error=error)
        last = error_text.strip().splitlines()[-1:]
        return cls(
            checks=tuple(checks), cut_short=": ".join((f"the kit ended with {status} before its last check", *last))
        )

    @property
    def broken(self) -> int:
        """How many promises are broken; a kit that was cut short is one too."""
        return [check.result for check in self.checks].count("broken") + bool(self.cut_short)

    def lines(self, *, is_whole: bool) -> Iterator[str]:
        """Yield the table, broken promises with their reasons, and the sum."""
        shown = [check for check in self.checks if is_whole or check.result == "broken"]
        if shown:
            rows = [(check.engine, check.title, check.result) for check in shown]
            yield from columns([("ENGINE", "CHECK", "RESULT"), *rows])
            yield ""
        for check in self.checks:
            if check.result == "broken":
                yield f"{check.title}: {check.message}"
                yield f"  The promise: {check.words}"
                yield f"  It stands in {check.place}."
        if self.cut_short:
            yield self.cut_short
        results = [check.result for check in self.checks]
        yield ", ".join(f"{results.count(result)} {result}" for result in ("held", "broken", "off"))


def points_here() -> list[EntryPoint]:
    """Return the entry points of the installed plugins, by name."""
    return sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)


def loaded_alone(point: EntryPoint) -> LoadedPlugin:
    """Return a plugin without all others; what is wrong with it is in it."""
    problems: list[PluginError] = []
    others = [other.name for other in points_here() if other.name != point.name]
    registry = load(disabled=others, refuse=problems.append)
    is_disabled = point.name in read_plugin_settings().disabled
    return LoadedPlugin(
        point=point,
        registry=registry,
        problems=tuple(problems),
        contract=contract_of(point.load()) if point.module in sys.modules else None,  # one that failed has none
        is_disabled=is_disabled,
    )


def list_rows(plugins: Sequence[LoadedPlugin]) -> list[tuple[str, ...]]:
    """Return a header and a row for each plugin."""
    rows = [("NAME", "PACKAGE", "CONTRACT", "STATE", "BRINGS")]
    for plugin in plugins:
        state = "broken" if plugin.problems else "disabled" if plugin.is_disabled else "ok"
        brings = ", ".join(f"{noun} {name}" for noun, name, _ in plugin.contributions)
        rows.append((plugin.point.name, plugin.package, plugin.contract_words, state, brings or "-"))
    return list(rows)


def info_lines(plugin: LoadedPlugin) -> Iterator[str]:
    """Yield what is known of a plugin; its module's file with a digest, so that two machines can be compared."""
    file = _file_of(plugin.point.module)
    yield f"Name:      {plugin.point.name}"
    yield f"Package:   {plugin.package}"
    yield f"Contract:  {plugin.contract_words}"
    yield f"Module:    {plugin.point.value}"
    if file is not None:
        yield f"File:      {file}"
        yield f"SHA-256:   {hashlib.sha256(file.read_bytes()).hexdigest()}"
    if plugin.is_disabled:
        yield "Disabled:  by RAYFLEET_DISABLE_PLUGINS"
    yield "Brings:"
    rows = [(noun, name, _first_line(item)) for noun, name, item in plugin.contributions]
    yield from columns(rows, "  ") if rows else ("  nothing",)
    for problem in plugin.problems:
        yield f"Problem:   {problem}"


def _file_of(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and Path(spec.origin).exists() else None


def _first_line(item: object) -> str:
    return (type(item).__doc__ or "").strip().partition("\n")[0]
