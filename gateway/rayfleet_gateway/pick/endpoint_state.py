"""What is known of one endpoint. Pure.

Plugins that filter, score and pick see it as ``rayfleet.plugin.contracts.EndpointView``, and read only.
"""

from dataclasses import dataclass, field

from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.pick.health import WELL, Health


@dataclass(slots=True, kw_only=True, eq=False)
class EndpointState:
    """What the gateway knows of one endpoint; the same object as long as the endpoint is in the table.

    ``share`` in (0, 1]: how much of its part it takes (it was overloaded, or has just come back); it was
    ``share_before`` at ``share_since``. ``in_flight`` counts requests of this gateway process there. ``is_ejected``: it
    failed too often just now. ``tried_at``: when the try began that is to bring it back, None when there is none.
    """

    endpoint: Endpoint
    name: str = field(init=False)
    in_flight: int = 0
    share: float = 1.0
    share_before: float = 1.0
    share_since: float = 0.0
    is_ejected: bool = False
    tried_at: float | None = None
    health: Health = WELL

    def __post_init__(self) -> None:
        self.name = str(self.endpoint)
