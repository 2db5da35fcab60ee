"""What the node knows of its pods and containers: the values that ``lifecycle`` moves on and ``pod_status`` shows.

Pure. A container waits, runs or has ended; which of the three is the type of ``ContainerView.state``, so it is never
two of them at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nothing runs, and ``reason`` says for what it waits. It may start when ``until`` has come; None: now."""

    reason: str = "PodInitializing"
    message: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A running container is being ended.

    Its preStop hook runs until ``by`` at most; SIGTERM comes ``signalled_at`` (None: the hook is not over yet), and
    SIGKILL at ``kill_at``: ``by``, but ``least`` after SIGTERM at the earliest, however long the hook took.
    """

    by: datetime
    least: timedelta = timedelta(0)
    signalled_at: datetime | None = None

    @property
    def kill_at(self) -> datetime:
        """When the end is no longer waited for."""
        return self.by if self.signalled_at is None else max(self.by, self.signalled_at + self.least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Its first process runs, or something of the run is still being ended."""

    since: datetime
    ending: Ending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a container's run ended."""

    exit_code: int
    reason: str
    started_at: datetime
    finished_at: datetime
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """What is known of one container.

    ``restart_count`` is that of the run shown, the newest begun. ``is_leaving``: it is never to start again.
    ``is_clear``: no process of it can be on this machine.
    """

    name: str
    image: str
    state: Waiting | Running | Ended = Waiting()
    last_ended: Ended | None = None
    restart_count: int = 0
    ends_in_a_row: int = 0
    is_ready: bool = False
    is_started: bool = False
    container_id: str = ""
    is_leaving: bool = False
    is_clear: bool = False

    @property
    def newest_end(self) -> Ended | None:
        """How it ended last, if it ever has."""
        return self.state if isinstance(self.state, Ended) else self.last_ended

    @property
    def has_succeeded(self) -> bool:
        """Whether it has ended with exit code 0."""
        return isinstance(self.state, Ended) and self.state.exit_code == 0


def container_mark(pod_uid: str, container: str) -> str:
    """Return what every process of a container has in its environment."""
    return f"{pod_uid}/{container}"


def container_id(mark: str, run: int) -> str:
    """Return the id that the status gives to a run of a container."""
    return f"rayfleet://{mark}/{run}"


class Fate(StrEnum):
    """What is to become of a pod here."""

    LIVES = "lives"
    LEAVES = "leaves"  # the node ends: so do the pod's containers, its object stays
    DELETED = "deleted"  # its containers end, then its object goes


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """What is known of one pod."""

    address: str
    started_at: datetime
    init_containers: tuple[ContainerView, ...]
    containers: tuple[ContainerView, ...]
    restart_policy: str
    fate: Fate = Fate.LIVES

    @property
    def everything(self) -> tuple[ContainerView, ...]:
        """All containers, in the order in which they begin."""
        return (*self.init_containers, *self.containers)
