"""The files of a new plugin: the example engine, its test and what pip needs, under another name.

The texts are those of plugins/rayfleet_example and its test (a test compares): what is tried there is what is written.
"""

import re
from importlib.resources import files
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem, WrongUse

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MOST_LETTERS = 30
_FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "rayfleet_example/plugin.py": "plugin.py.txt",
    "tests/test_example.py": "test_plugin.py.txt",
}


def rendered(name: str) -> dict[str, str]:
    """Return the files of a plugin with an engine ``name``, by path. Raises WrongUse for what is no name."""
    if not _NAME.fullmatch(name) or len(name) > _MOST_LETTERS:
        raise WrongUse(
            f"{name!r} is no name for an engine",
            way_out=f"Write lower-case letters, digits and dashes, {_MOST_LETTERS} at most, as in my-engine.",
        )
    module, title = name.replace("-", "_"), "".join(part.capitalize() for part in name.split("-"))
    texts = {"rayfleet_example/__init__.py": '"""The engine ``example`` for rayfleet."""\n'}
    texts |= {path: (files(__package__) / text).read_text(encoding="utf-8") for path, text in _FILES.items()}
    pairs = (("rayfleet_example", f"rayfleet_{module}"), ("test_example", f"test_{module}"), ("Example", title))
    return {
        _replaced(path, pairs): _replaced(_replaced(text, pairs), (("example", name),)) for path, text in texts.items()
    }


def write_template(name: str, directory: str) -> list[Path]:
    """Write a plugin into a folder that is not there or is empty; return what was written, in order.

    Raises EnvironmentProblem: there is something already, or it cannot be written.
    """
    texts = rendered(name)
    root = Path(directory)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise EnvironmentProblem(f"{root} exists already", way_out="Name another folder with --directory.")
    try:
        for path, text in texts.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"{root} cannot be written: {error.strerror}") from error
    return [root / path for path in sorted(texts)]


def _replaced(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text
