"""What the parts of the data path promise one another."""

from typing import Protocol

from rayfleet_gateway.model.values import RequestHead


class Client(Protocol):
    """A client's connection, as what answers it sees it. ``is_paused``: the client is behind with reading."""

    address: str
    is_paused: bool

    def write(self, data: bytes) -> None:
        """Send bytes; without effect once the connection is gone."""
        ...

    def may_keep(self, head: RequestHead) -> bool:
        """Whether the connection serves another request after this one."""
        ...

    def reset(self) -> None:
        """End the connection so that the client sees that it broke."""
        ...

    def on_over(self, *, is_kept: bool) -> None:
        """Go on after an answer."""
        ...


class Connected(Protocol):
    """A client's connection, as the process that ends sees it. ``idle_since``: when it began to wait for a request."""

    @property
    def idle_since(self) -> float: ...  # noqa: D102 - said above

    def close(self) -> None:
        """End the connection; what was written is still sent."""
        ...

    def reset(self) -> None:
        """End the connection so that the client sees that it broke."""
        ...

    def end(self) -> None:
        """End the connection because the process ends."""
        ...


class Running(Protocol):
    """A request that is served."""

    def cut(self) -> None:
        """End it now, with an error."""
        ...
