"""Every number of the gateway that is a choice."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rayfleet.model.meta import ObjectKey


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """``kubeconfig`` None means the pod that the gateway runs in; with ``config`` (files) no API server is asked.

    ``gateway``: the Gateway whose routes are used, None: those of our class. ``state_dir``: where the last table is
    kept, None: nowhere.

    ``connect_timeout``: a ready engine on the same network accepts at once. ``first_byte_timeout`` holds where the
    route says no ``timeouts.request``; that one, too, runs to the first byte of the answer, since cutting healthy
    streams is the most reported fault of gateways; zero in a route means no limit, as Gateway API has it.
    ``idle_timeout``: the longest silence within a stream, and the longest time for a client to send a body or to take
    bytes. ``stale_limit``: see upstream.py. ``drain``: how long answers may go on after SIGTERM. ``body_limit_bytes``:
    of a request, unpacked too. ``head_limit_bytes``: of one header line.

    ``profiles``: a file of profiles; ``default_profile``: of routes that name none.
    """

    kubeconfig: Path | None = None
    config: Path | None = None
    gateway: ObjectKey | None = None
    state_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    connect_timeout: timedelta = timedelta(seconds=2)
    first_byte_timeout: timedelta = timedelta(seconds=600)
    idle_timeout: timedelta = timedelta(seconds=300)
    stale_limit: timedelta = timedelta(seconds=1)
    drain: timedelta = timedelta(seconds=10)
    body_limit_bytes: int = 32 << 20
    head_limit_bytes: int = 64 << 10
    attempts: int = 3
    profiles: Path | None = None
    default_profile: str = "least-request"
