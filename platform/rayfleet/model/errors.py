"""The tree of errors. Pure.

::

    RayfleetError
    ├── ManifestError          the user's manifest; carries every FieldError found
    ├── PluginError            a plugin is absent, broken, or contributes twice
    ├── SettingsError          a flag or an environment variable
    │   └── WrongUse           a command line that can never work, whatever the cluster holds
    ├── EnvironmentProblem     this machine lacks something: a port, space, Python, a package
    └── ApiError               what an API server answered (rayfleet.kube.errors has the leaves)

``is_retryable`` says whether the same call may succeed later; ``way_out`` is one sentence that says what to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class RayfleetError(Exception):
    """Base of everything that rayfleet raises on purpose."""

    is_retryable = False

    def __init__(self, message: str, *, way_out: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.message}\n  {self.way_out}" if self.way_out else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One thing wrong in a manifest.

    ``path`` is what a user would write: ``spec.template.spec.workerGroupSpecs[0].replicas``.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ManifestError(RayfleetError):
    """A manifest that cannot be accepted; ``errors`` in the order of the document, never empty."""

    def __init__(self, subject: str, errors: Sequence[FieldError], *, way_out: str = "") -> None:
        self.subject = subject
        self.errors = tuple(errors)
        lines = "".join(f"\n  {error}" for error in self.errors)
        super().__init__(f"{subject} is invalid:{lines}", way_out=way_out)


class PluginError(RayfleetError):
    """A plugin is absent, fails to load, or contributes what another one did; the message names it."""


class SettingsError(RayfleetError):
    """A flag or environment variable has a value that cannot be used; the message names it."""


class WrongUse(SettingsError):
    """A command line that can never work: an unknown kind, options that exclude each other; exit code 2."""


class EnvironmentProblem(RayfleetError):
    """This machine lacks something: a free port, space, a package, an environment."""


class Overdue(BaseException):
    """Interrupts a plugin's call that did not end in time; no RayfleetError: ``except Exception`` lets it by."""


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return the single errors of a group of groups, in order."""
    errors: list[BaseException] = []
    for error in group.exceptions:
        errors += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return errors
