"""The contract of plugins, name by name: ``contract/VERSION.txt``. What is there keeps its form as long as the version.

A plugin that was written for a version works with every rayfleet of that version: so a line may come that plugins may
leave out (a hook, a field with a default, what they can read of a request), and none may go or change. Whatever else
has to change raises ``CONTRACT``, and begins a file of its own.
"""

import dataclasses
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rayfleet.model.engine import EngineCommand, LocalEnvironment
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import NodeResources, Parallelism, Serving
from rayfleet.plugin import contracts, hookspecs
from rayfleet.plugin.contracts import CONTRACT, EndpointView, RequestView
from rayfleet.plugin.frame import Frame

FILE = Path(__file__).parent / "contract" / f"{CONTRACT}.txt"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
MODELS = (FieldError, Serving, Parallelism, NodeResources, Frame, LocalEnvironment, EngineCommand)


def surface() -> list[str]:
    """Return a line for each hook, each member of a protocol and each field of what is handed over."""
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("rayfleet_")}
    protocols = [each for each in vars(contracts).values() if getattr(each, "_is_protocol", False)]
    return [
        *(f"{name}{inspect.signature(hook)}" for name, hook in hooks.items()),
        *(line for protocol in protocols if protocol.__module__ == contracts.__name__ for line in members(protocol)),
        *(line for model in given_and_taken() for line in fields(model)),
    ]


def given_and_taken() -> list[type[Any]]:
    """Return the dataclasses of the contract: those named above, and the engine's rooms that they lead to."""
    from rayfleet.model import engine

    own = [each for each in vars(engine).values() if dataclasses.is_dataclass(each) and isinstance(each, type)]
    return sorted(
        {*MODELS, *(each for each in own if each.__module__ == engine.__name__)}, key=lambda each: each.__name__
    )


def members(protocol: type[Any]) -> Iterator[str]:
    for name, annotation in inspect.get_annotations(protocol).items():
        yield f"{protocol.__name__}.{name}: {inspect.formatannotation(annotation)}"
    for name, member in vars(protocol).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property) and member.fget is not None:
            returned = inspect.signature(member.fget).return_annotation
            yield f"{protocol.__name__}.{name}: {inspect.formatannotation(returned)}"
        elif inspect.isfunction(member):
            yield f"{protocol.__name__}.{name}{inspect.signature(member)}"


def fields(model: type[Any]) -> Iterator[str]:
    for field in dataclasses.fields(model):
        is_needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        yield f"{model.__name__}.{field.name}: {inspect.formatannotation(field.type)}{'' if is_needed else ' = ...'}"


def may_be_left_out(line: str) -> bool:
    """Whether a plugin that does not know a line works all the same."""
    views = (f"{view.__name__}." for view in (RequestView, EndpointView))
    return line.startswith(("rayfleet_", *views)) or line.endswith(" = ...")


def test_the_contract_keeps_its_form_as_long_as_its_version() -> None:
    lines = surface()
    if REWRITES:
        before = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else lines
        gone = [line for line in before if line not in lines]
        needed = [line for line in lines if line not in before and not may_be_left_out(line)]
        assert (gone, needed) == ([], []), (
            "plugins of this version would break: raise rayfleet.plugin.contracts.CONTRACT"
        )
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert lines == FILE.read_text(encoding="utf-8").splitlines()


def test_the_plugins_here_are_of_the_version_that_is_written_down() -> None:
    """As a number in their texts: one that is taken from rayfleet would always be right."""
    plugins = (Path(__file__).parents[2] / "plugins").glob("rayfleet_*/plugin.py")
    texts = {path.parent.name: path.read_text(encoding="utf-8") for path in plugins}
    assert [name for name, text in texts.items() if f"\nrayfleet_contract = {CONTRACT}\n" not in text] == []
    assert len(texts) == 7
