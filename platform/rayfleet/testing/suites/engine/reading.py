"""Checks of the plugin's command reader: what people wrote themselves, read as the engine would."""

from pathlib import Path

from rayfleet.model.engine import EngineCommand
from rayfleet.plugin.contracts import CommandReader
from rayfleet.plugin.shapes import type_problems
from rayfleet.testing.suites.engine.promises import COMMAND_READER, READER, promise
from rayfleet.testing.suites.engine.tested import TestedEngine

# Of other programs, of nothing, and of what nobody would write.
_OTHERS: tuple[list[str], ...] = (
    [], [""], ["sleep", "1"], ["python3"], ["python3", "-m"], ["bash", "-c", "exit"], ["-"], ["\N{SNOWMAN}"],
)  # fmt: skip
_ODD_WORDS: tuple[list[str], ...] = (
    [], ["--port"], ["--port", "x"], ["--port="], ["--port=0"], ["--port", "99999999999"], ["--"], [""],
    ["--tensor-parallel-size", "-1"], ["--tensor-parallel-size=\N{SNOWMAN}"], ["--a=b=c"] * 500,
)  # fmt: skip


class ReaderChecks(TestedEngine):
    """On when ``command_line`` is declared."""

    @property
    def reader(self) -> CommandReader:
        """The reader of the engine's command lines, as the plugin's hook gives it."""
        readers: list[CommandReader] = [
            each for each in self.plugin.rayfleet_command_readers() if each.name == self.name
        ]
        assert len(readers) == 1, f"the plugin contributes {len(readers)} readers of {self.name!r}, not one"
        return readers[0]

    @promise(READER, needs="command_line")
    def test_its_reader_knows_its_command(self) -> None:
        """The one that a person writes, with the engine's own name."""
        command = self.reader.read(list(self.command_line))
        assert command is not None, f"{' '.join(self.command_line)} was not recognised"
        assert list(type_problems(command, EngineCommand, "read()")) == []
        assert command.engine == self.name

    @promise(READER, needs="command_line")
    def test_its_reader_reads_what_its_own_plan_starts(self, tmp_path: Path) -> None:
        """The same number of ranks and the same port as the plan's."""
        command = self.reader.read([self.program, *self.words(self.most, tmp_path)])
        if command is not None:
            ranks = self.most.parallelism.tensor * self.most.parallelism.pipeline
            assert command.port == self.engine.launch_plan(self.most).probe.port
            assert command.ranks == ranks, f"it reads {command.ranks} ranks where the plan starts {ranks}"

    @promise(READER, needs="command_line")
    def test_its_reader_leaves_others_alone(self) -> None:
        """None for every command that does not start this engine."""
        read = [words for words in _OTHERS if self.reader.read(words) is not None]
        assert read == [], f"{read} were taken for {self.name}"

    @promise(READER, needs="command_line")
    def test_its_reader_never_raises(self) -> None:
        """It advises a person about what that person wrote, however odd."""
        for words in _ODD_WORDS:
            line = [*self.command_line, *words]
            try:
                self.reader.read(line)
            except Exception as error:
                raise AssertionError(f"read({line[:12]}) raised {error!r}") from error

    @promise(COMMAND_READER, needs="command_line")
    def test_its_reader_knows_images_by_words(self) -> None:
        """A text for every image, empty for those that lack nothing or are not the engine's."""
        image = self.engine.launch_plan(self.most).image
        for each in (image, f"{image}@sha256:{'0' * 64}", "busybox", "busybox:1", "", "x/y/z:1"):
            lack = self.reader.image_lack(each)
            assert isinstance(lack, str), f"image_lack({each!r}) returned {lack!r}"
            assert "\n" not in lack
            risks = self.reader.image_risks(each)
            assert all(risk for risk in risks), f"image_risks({each!r}) returned {risks!r}"
            assert not isinstance(risks, str), f"image_risks({each!r}) returned a text, not a tuple of sentences"
        assert self.reader.image_lack("busybox:1") == "", "an image of others is not this engine's to judge"
        assert not self.reader.image_risks("busybox:1"), "an image of others is not this engine's to judge"
