"""What a data plane promises, as tests: a black box over HTTP that any plane can be held to.

Bytes go in by a client and come out at engines, whose every byte a test says; what became of requests is read from
``/metrics``. A plane's test is one subclass of :class:`DataPlaneSuite`, which says how it runs and what it ``lacks``.
"""

from rayfleet.testing.suites.data_plane.answers import AnswerChecks
from rayfleet.testing.suites.data_plane.faults import FaultChecks
from rayfleet.testing.suites.data_plane.filters import FilterChecks
from rayfleet.testing.suites.data_plane.life import LifeChecks
from rayfleet.testing.suites.data_plane.models import ModelChecks
from rayfleet.testing.suites.data_plane.raw import RawChecks
from rayfleet.testing.suites.data_plane.routing import RoutingChecks
from rayfleet.testing.suites.data_plane.sick import SickChecks
from rayfleet.testing.suites.data_plane.wire import WireChecks


class DataPlaneSuite(
    RoutingChecks, FilterChecks, AnswerChecks, FaultChecks, WireChecks, RawChecks, ModelChecks, SickChecks, LifeChecks
):
    """Subclass it with a way to run the plane; see TestedPlane."""
