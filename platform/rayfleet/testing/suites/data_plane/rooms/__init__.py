"""The fixed routes of the suite, a room with a host name for each subject, and what requests to them must come to."""

from rayfleet.testing.suites.data_plane.rooms.filtering import FILTERED
from rayfleet.testing.suites.data_plane.rooms.hosts import HOSTS
from rayfleet.testing.suites.data_plane.rooms.matches import MATCHES
from rayfleet.testing.suites.data_plane.rooms.models import MODELS, SEED
from rayfleet.testing.suites.data_plane.rooms.paths import PATHS
from rayfleet.testing.suites.data_plane.rooms.precedence import PRECEDENCE
from rayfleet.testing.suites.data_plane.rooms.references import REFERENCES
from rayfleet.testing.suites.data_plane.rooms.room import Asked, Room

ROOMS = (MODELS, PATHS, PRECEDENCE, HOSTS, MATCHES, FILTERED, REFERENCES)

__all__ = ["ROOMS", "SEED", "Asked", "Room"]
