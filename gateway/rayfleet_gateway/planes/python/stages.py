"""Where a client's connection is, as names of their own: an attribute of an Enum costs four times as much as a name."""

from enum import Enum, auto


class ClientStage(Enum):
    """See ``client.py``."""

    HEAD = auto()
    BODY = auto()
    SERVED = auto()
    LINGERING = auto()
    CLOSED = auto()


HEAD, BODY, SERVED, LINGERING, CLOSED = ClientStage
