"""What a Containerfile of ours says of an image, for a builder that runs nothing: packages, user, environment. Pure.

Only what our files are made of is known: one ``/opt/venv`` filled by ``pip install``, packages of Debian by ``apt-get
install``, and the last stage's ENV, USER and ENTRYPOINT. All else is refused, so that nothing which a file says is
left out of the images that tests run. Source: Dockerfile reference (BuildKit 1), as buildah reads it.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from rayfleet.testing.realkube import RealKubeError

_HARMLESS = (
    re.compile(r"python3 -m venv /opt/venv"),
    re.compile(r"/opt/venv/bin/python -m compileall -q /opt/venv"),
    re.compile(r"/opt/venv/bin/\S+ --help > /dev/null"),
    re.compile(r"rm -rf (/opt/venv/lib/python3\*/site-packages/pip\*|/var/lib/apt/lists/\*)"),
    re.compile(r"apt-get update"),
)
"""Commands that change nothing of what an image has beside its packages."""

_COPIES = (". /src", "--from=build /opt/venv /opt/venv")
_SOURCES = "/src"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An image's contents above its base, and how a container of it starts.

    ``requirements`` are pip's words, of our own code what it depends on; that code itself is in every image.
    """

    requirements: tuple[str, ...]
    debian: tuple[str, ...]
    user: str
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def read_recipe(text: str, dependencies: Mapping[str, Sequence[str]]) -> Recipe:
    """Return what a file says; ``dependencies`` are the project's, by extra, its own by the empty name.

    Raises ``RealKubeError`` for an instruction that is not known here.
    """
    requirements: list[str] = []
    debian: list[str] = []
    last_stage: dict[str, str] = {}
    environment: dict[str, str] = {}
    for instruction, value in _instructions(text):
        match instruction:
            case "FROM":
                last_stage, environment = {}, {}
            case "RUN":
                for command in re.split(r"\s*&&\s*", value):
                    _read_command(command, requirements, debian, dependencies)
            case "ENV":
                environment |= dict(word.split("=", 1) for word in shlex.split(value))
            case "USER" | "ENTRYPOINT":
                last_stage[instruction] = value
            case "COPY" if value in _COPIES:
                pass
            case "ARG" if value.startswith("BASE="):
                pass
            case _:
                raise RealKubeError(f"a Containerfile of ours says {instruction} {value}, which the test node ignores")
    return Recipe(
        requirements=tuple(requirements),
        debian=tuple(debian),
        user=last_stage["USER"],
        entrypoint=tuple(json.loads(last_stage.get("ENTRYPOINT", "[]"))),
        environment=environment,
    )


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    for line in re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines():
        instruction, _, value = line.strip().partition(" ")
        yield instruction, value.strip()


def _read_command(
    command: str, requirements: list[str], debian: list[str], dependencies: Mapping[str, Sequence[str]]
) -> None:
    words = shlex.split(command)
    match words:
        case ["/opt/venv/bin/pip", "install", "--no-cache-dir", "--constraint", "/src/constraints.txt", *packages]:
            requirements += [name for package in packages for name in _required(package, dependencies)]
        case ["/opt/venv/bin/pip", "install", "--no-cache-dir", "--no-deps", "/src"]:
            pass
        case ["apt-get", "install", "--yes", "--no-install-recommends", *packages]:
            debian += packages
        case _:
            if not any(known.fullmatch(command) for known in _HARMLESS):
                raise RealKubeError(f"a Containerfile of ours runs `{command}`, which the test node does not")


def _required(package: str, dependencies: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if not package.startswith(_SOURCES):
        return (package,)
    extra = package.removeprefix(_SOURCES).strip("[]")
    return (*dependencies[""], *(dependencies[extra] if extra else ()))
