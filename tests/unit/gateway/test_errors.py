"""The gateway's errors are one family, and all of it is drawn (rayfleet_gateway.model.errors)."""

import importlib
import inspect
import pkgutil

import rayfleet_gateway
from rayfleet.model.errors import RayfleetError
from rayfleet_gateway.model import errors


def _defined_errors() -> dict[str, type[BaseException]]:
    """Return every error class that a module of the gateway defines, by name."""
    walked = pkgutil.walk_packages(rayfleet_gateway.__path__, "rayfleet_gateway.")
    names = [module.name for module in walked if not module.name.endswith("__main__")]
    modules = [importlib.import_module(name) for name in names]
    return {
        name: value
        for module in modules
        for name, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, BaseException) and value.__module__ == module.__name__
    }


def test_every_error_of_the_gateway_is_one_of_the_family() -> None:
    defined = _defined_errors()
    assert {"HeadRefused", "UnreadableBody", "BodyTooLarge", "BrokenOff"} <= set(defined)
    assert [name for name, value in defined.items() if not issubclass(value, RayfleetError)] == []


def test_the_drawing_has_every_error() -> None:
    assert [name for name in _defined_errors() if f"─ {name} " not in f"{errors.__doc__}".replace("\n", " ")] == []
