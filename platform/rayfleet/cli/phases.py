"""What `rayfleet up` prints while it works: one line per phase with its seconds; on a terminal the running one is updated in place."""

import sys
import time
from dataclasses import dataclass
from typing import TextIO

import click

_WIDTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPhase:
    """A phase and how long it took, in seconds."""

    name: str
    seconds: float


class Phases:
    """Prints to stderr, so that stdout holds results only."""

    def __init__(self) -> None:
        self._stream: TextIO = sys.stderr
        self._is_terminal = self._stream.isatty()
        self._name = ""
        self._detail = ""
        self._began = time.monotonic()
        self._start = self._began
        self.finished: list[FinishedPhase] = []

    def begin(self, name: str, detail: str = "") -> None:
        """End the running phase, if there is one, and begin another."""
        self.end()
        self._name, self._detail, self._began = name, "", time.monotonic()
        self.update(detail)

    def update(self, detail: str) -> None:
        """Say how far the running phase is; without a terminal a line is printed only when the text is new."""
        if self._is_terminal:
            seconds = time.monotonic() - self._began
            self._detail = detail
            line = f"  … {self._name:<12} {detail}  {seconds:.1f} s"
            self._stream.write(f"\r\x1b[2K{line[:_WIDTH]}")
            self._stream.flush()
        elif detail and detail != self._detail:
            self._detail = detail
            click.echo(f"    {self._name:<12} {detail}", err=True)

    def end(self, detail: str = "") -> None:
        """End the running phase and print its line."""
        if not self._name:
            return
        seconds = time.monotonic() - self._began
        if self._is_terminal:
            self._stream.write("\r\x1b[2K")
        mark = click.style("✓", fg="green") if self._is_terminal else "-"
        click.echo(f"  {mark} {self._name:<12} {seconds:6.1f} s  {detail or self._detail}".rstrip(), err=True)
        self.finished.append(FinishedPhase(name=self._name, seconds=seconds))
        self._name = ""

    def abandon(self) -> None:
        """Leave the running phase without success; the error that follows says why."""
        if self._name and self._is_terminal:
            self._stream.write("\r\x1b[2K")
        if self._name:
            mark = click.style("✗", fg="red") if self._is_terminal else "!"
            click.echo(f"  {mark} {self._name:<12} {time.monotonic() - self._began:6.1f} s  {self._detail}", err=True)
        self._name = ""

    @property
    def total_seconds(self) -> float:
        """Seconds since the first phase began."""
        return time.monotonic() - self._start
