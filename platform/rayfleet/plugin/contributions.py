"""What plugins may contribute: one row for each hook, and what must be true of a contribution. Pure.

A new hook is a hookspec, its contract, a row here, a field of the registry and a section of the manual; nothing else
knows hooks one by one.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rayfleet.model.engine import LocalEnvironment
from rayfleet.plugin.contracts import CommandReader, Engine, Filter, ModelSource, Picker, Scorer

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.+]*[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """A hook, and where its contributions go.

    ``field`` of the registry holds them by their attribute ``key``; ``noun`` is what messages call one. ``contract`` is
    a Protocol, whose members a contribution must have, or the class that it must be of. ``lack`` returns what is wrong
    with one that fits its contract, in words after "contributed", empty when nothing is.
    """

    hook: str
    field: str
    noun: str
    contract: type[Any]
    key: str
    lack: Callable[[Any], str] = lambda _: ""


CONTRIBUTIONS = (
    Contribution(hook="rayfleet_engines", field="engines", noun="engine", contract=Engine, key="name"),
    Contribution(
        hook="rayfleet_model_sources", field="model_sources", noun="model source", contract=ModelSource, key="scheme"
    ),
    Contribution(
        hook="rayfleet_local_environments",
        field="local_environments",
        noun="local environment",
        contract=LocalEnvironment,
        key="name",
        lack=lambda environment: "" if environment.images else f"a local environment without images: {environment!r}",
    ),
    Contribution(
        hook="rayfleet_command_readers",
        field="command_readers",
        noun="command reader",
        contract=CommandReader,
        key="name",
    ),
    Contribution(hook="rayfleet_filters", field="filters", noun="filter", contract=Filter, key="name"),
    Contribution(hook="rayfleet_scorers", field="scorers", noun="scorer", contract=Scorer, key="name"),
    Contribution(hook="rayfleet_pickers", field="pickers", noun="picker", contract=Picker, key="name"),
)


def contribution_problem(row: Contribution, item: object) -> str:
    """Return what is wrong with ``item``, in words after the plugin's name; empty when it can be used."""
    if isinstance(item, type):
        return f"contributed the class {item.__qualname__} as {row.noun}; an object is wanted"
    is_protocol = getattr(row.contract, "_is_protocol", False)
    if not is_protocol and not isinstance(item, row.contract):
        return f"contributed {type_words(item)} where a {row.contract.__name__} is wanted"
    name = getattr(item, row.key, None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return (
            f"contributed the {row.noun} {type_words(item)} whose {row.key} is {name!r}; "
            "lower-case letters, digits and dashes are wanted"
        )
    absent = _absent_members(row.contract, item) if is_protocol else []
    if absent:
        return f"contributed the {row.noun} {name!r} without {', '.join(absent)}"
    lack = row.lack(item)
    return f"contributed {lack}" if lack else ""


def type_words(value: object) -> str:
    """Return what ``value`` is, for messages: ``a NoneType``."""
    return f"a {type(value).__name__}"


def _absent_members(contract: type[Any], item: object) -> list[str]:
    """Return the members of a Protocol that ``item`` lacks, attributes first: ``model_format``, ``launch_plan()``."""
    attributes = [name for name in inspect.get_annotations(contract) if not hasattr(item, name)]
    methods = [name for name, member in vars(contract).items() if inspect.isfunction(member) and name[0] != "_"]
    return [*attributes, *(f"{name}()" for name in methods if not callable(getattr(item, name, None)))]
