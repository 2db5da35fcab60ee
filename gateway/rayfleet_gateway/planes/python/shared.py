"""What all requests of one process share."""

import asyncio

from rayfleet_gateway.answer.cors import Cors
from rayfleet_gateway.attempt.attempts import AttemptPolicy
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.pick.profiles import Profiles
from rayfleet_gateway.planes.python.bodies import BodyBudget
from rayfleet_gateway.planes.python.contracts import Connected, Running
from rayfleet_gateway.planes.python.deadlines import Sweeper
from rayfleet_gateway.planes.python.own_routes import ModelList
from rayfleet_gateway.planes.python.pool import Pool
from rayfleet_gateway.planes.python.unpacking import Unpacking
from rayfleet_gateway.request.headers import ForwardedPolicy
from rayfleet_gateway.request.identity import Names
from rayfleet_gateway.request.model_scan import ScanLimits
from rayfleet_gateway.state.endpoints import EndpointBook
from rayfleet_gateway.state.tables import TableSource
from rayfleet_gateway.telemetry.counts import Telemetry


class Shared:
    """Made in the loop that serves.

    ``connections`` are in the order in which they came; ``idle`` wait for a request, ``begun`` sent a part of a head.
    ``is_leaving``: answers close their connections, since the process is about to stop.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        tables: TableSource,
        profiles: Profiles,
        *,
        telemetry: Telemetry,
        book: EndpointBook,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.settings = settings
        self.tables = tables
        self.profiles = profiles
        self.telemetry = telemetry
        self.book = book
        self.sweeper = Sweeper(self.loop)
        self.pool = Pool(self.loop, settings, self.sweeper)
        self.attempt_policy = AttemptPolicy(settings)
        self.scan_limits = ScanLimits()
        self.cors = Cors(origins=settings.cors_origins)
        self.forwarded_policy = ForwardedPolicy(settings.forwarded_policy)
        self.names = Names()
        self.bodies = BodyBudget(settings.body_budget_bytes)
        self.unpacking = Unpacking(self.loop)
        self.model_list = ModelList()
        self.connections: dict[Connected, None] = {}
        self.idle: dict[Connected, None] = {}
        self.begun: dict[Connected, None] = {}
        self.running: set[Running] = set()
        self.is_leaving = False
        self.head_seconds = settings.head_timeout.total_seconds()
        self.body_start_seconds = settings.body_start_timeout.total_seconds()
        self.idle_seconds = settings.idle_timeout.total_seconds()
        self.keep_alive_seconds = settings.keep_alive_timeout.total_seconds()
        self.stale_seconds = settings.stale_limit.total_seconds()

    def has_room_for_client(self) -> bool:
        """Whether one more client may be connected.

        Room makes the one that has been idle for longest, or else the one whose head has been coming for longest.
        """
        if len(self.connections) < self.settings.connections:
            return True
        waiting = self.idle or self.begun
        oldest = next(iter(waiting), None)
        if oldest is None:
            return False
        del waiting[oldest]
        oldest.close()
        return True
