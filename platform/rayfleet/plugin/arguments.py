"""Words of an engine's command: how a flag is read, and what a manifest may not hand to it. Pure.

Every word of ``spec.serving.args`` goes to the engine as it stands, so a flag that the launch plan sets too would win
over it or lose to it unseen. Such a flag is refused with its field.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from rayfleet.model.errors import FieldError

PATH = "spec.serving.args"
OF_THE_PLAN = "is set by rayfleet from the other fields of spec.serving"
# A pod is killed 60 s after its drain; the head has waited for gateways before it, and Ray wants some seconds too.
MOST_DRAIN_SECONDS = 40

_PYTHON = re.compile(r"(?:.*/)?python[0-9.]*")
_ENDS_AT_ONCE = MappingProxyType(dict.fromkeys(("-h", "--help"), "would end the engine at once"))


def flag_problems(arguments: Sequence[str], refused: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield a problem for each argument that is a flag of ``refused``, which says why, or asks for help, in order.

    ``--flag=value`` is the flag too, and ``_`` counts as ``-`` in long flags: Python's engines take both.
    """
    reasons = {**_ENDS_AT_ONCE, **refused}
    for index, argument in enumerate(arguments):
        flag = argument.partition("=")[0]
        flag = flag.replace("_", "-") if flag.startswith("--") else flag
        if flag in reasons:
            yield FieldError(path=f"{PATH}[{index}]", message=f"{flag} {reasons[flag]}")


def flag_value(words: Sequence[str], *flags: str) -> str | None:
    """Return the last value of a flag, as ``--flag value`` or ``--flag=value``; ``_`` counts as ``-`` in long ones."""
    value = None
    for place, word in enumerate(words):
        flag, equals, joined = word.partition("=")
        name = flag.replace("_", "-") if flag.startswith("--") else flag
        if name in flags:
            value = joined if equals else next(iter(words[place + 1 : place + 2]), None)
    return value


def has_flag(words: Sequence[str], flag: str) -> bool:
    """Return whether a flag is there; ``_`` counts as ``-`` in long ones."""
    return any(word.partition("=")[0].replace("_", "-") == flag for word in words)


def count_value(words: Sequence[str], otherwise: int, *flags: str) -> int:
    """Return the last value of a flag that is a whole number above 0; ``otherwise`` where there is none."""
    value = flag_value(words, *flags)
    return int(value) if value is not None and value.isdecimal() and int(value) else otherwise


def is_program(words: Sequence[str], name: str, command: str = "") -> bool:
    """Return whether a command line runs a program, wherever it lies, or a module of Python by its name.

    With ``command`` only where that is the next word.
    """
    if len(words) > 2 and _PYTHON.fullmatch(words[0]) and words[1] == "-m":
        words = words[2:]
    is_it = bool(words) and words[0].rpartition("/")[2] == name
    return is_it and (not command or list(words[1:2]) == [command])


def drain_problems(flag: str, seconds: float) -> Iterator[FieldError]:
    """Yield a problem when the drain that ``flag`` asks for would outlive the pod."""
    if seconds > MOST_DRAIN_SECONDS:
        message = f"{flag} {seconds:g} is more than {MOST_DRAIN_SECONDS}, and the pod would be killed before it ends"
        yield FieldError(path=PATH, message=message)
