"""A transcript's file: blocks of commands, each with what came of it. Pure.

Blocks are parted by an empty line. A block is lines of prose (``# ...``), then commands, one a line, then ``----``,
then what happened: that part is written by ``replayed``. The form is that of etcd raft's data-driven tests
(github.com/cockroachdb/datadriven).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from rayfleet.testing.transcripts.commands import CommandError, obey
from rayfleet.testing.transcripts.stage import Stage

_RULER = "----"


class TranscriptError(Exception):
    """A transcript cannot be played; the message begins with file and line."""


@dataclass(frozen=True, slots=True)
class _Block:
    prose: list[str] = field(default_factory=list)
    commands: list[tuple[int, str]] = field(default_factory=list)
    """With the numbers of their lines."""


def replayed(text: str, file: str) -> str:
    """Return the transcript with everything that came of its commands written anew. Raises TranscriptError."""
    stage = Stage()
    return "\n\n".join("\n".join(_played(block, stage, file)) for block in _blocks(text, file)) + "\n"


def _played(block: _Block, stage: Stage, file: str) -> Iterator[str]:
    yield from block.prose
    if not block.commands:
        return
    happened: list[str] = []
    for number, command in block.commands:
        yield command
        try:
            happened += obey(command.split(), stage)
        except CommandError as error:
            raise TranscriptError(f"{file}:{number}: {error}") from error
    if not stage.is_created:
        raise TranscriptError(f"{file}:{block.commands[-1][0]}: there is no fleet after this block")
    yield _RULER
    yield from happened
    yield from stage.play()


def _blocks(text: str, file: str) -> Iterator[_Block]:
    block, is_output = _Block(), False
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            yield from [block] if block.prose or block.commands else []
            block, is_output = _Block(), False
        elif is_output:
            continue
        elif line == _RULER:
            is_output = True
        elif line.startswith("#"):
            if block.commands:
                raise TranscriptError(f"{file}:{number}: prose stands before the commands of its block")
            block.prose.append(line)
        else:
            block.commands.append((number, line))
    yield from [block] if block.prose or block.commands else []
