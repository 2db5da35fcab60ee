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

    ``admin_port``: of metrics and probes, on the same host; of several workers the n-th has the n-th port from there.
    ``parent``: of a worker, the process that it stops with.
    ``connect_timeout``: a ready engine on the same network accepts at once. ``first_byte_timeout`` holds where the
    route says no ``timeouts.request``; that one, too, runs to the first byte of the answer, since cutting healthy
    streams is the most reported fault of gateways; zero in a route means no limit, as Gateway API has it.
    ``idle_timeout``: the longest silence within a stream, and the longest time for a client to take bytes.
    ``stale_limit``: how long after it was sent a request may be repeated that a used connection lost without a byte.

    What a client has to keep to: ``head_timeout`` and ``head_limit_bytes`` for a whole head; ``body_start_timeout``
    and then ``body_least_rate`` bytes a second for a body of at most ``body_limit_bytes`` (unpacked too);
    ``keep_alive_timeout`` between requests. ``body_budget_bytes`` is for the bodies of all requests together, and
    ``connections`` for the connections of clients; the command takes a quarter of the memory that the process may use,
    and what the limit of open files allows with a reserve for engines.

    ``cors_origins``: whose pages may read answers in a browser. ``forwarded_policy``: what becomes of a client's
    ``X-Forwarded-*`` (request/headers.py). ``access_log``: a file, or ``-`` for standard output. ``log_format``: what a
    line of the process's own log is (``rayfleet.logs``).
    ``profiles``: a file of profiles; ``default_profile``: of routes that name none.

    At the end: ``lag`` is how long new requests are still taken, until the balancers in front have heard; ``drain``
    how long answers may go on after that.
    """

    kubeconfig: Path | None = None
    config: Path | None = None
    gateway: ObjectKey | None = None
    state_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    admin_port: int = 8001
    workers: int = 1
    parent: int | None = None
    connect_timeout: timedelta = timedelta(seconds=2)
    first_byte_timeout: timedelta = timedelta(seconds=600)
    idle_timeout: timedelta = timedelta(seconds=300)
    stale_limit: timedelta = timedelta(seconds=1)
    head_timeout: timedelta = timedelta(seconds=10)
    head_limit_bytes: int = 64 << 10
    body_start_timeout: timedelta = timedelta(seconds=10)
    body_least_rate: int = 10_000
    body_limit_bytes: int = 64 << 20
    body_budget_bytes: int = 1 << 30
    keep_alive_timeout: timedelta = timedelta(seconds=75)
    connections: int = 4096
    lag: timedelta = timedelta(seconds=5)
    drain: timedelta = timedelta(seconds=60)
    attempts: int = 3
    cors_origins: frozenset[str] = frozenset()
    forwarded_policy: str = "append"
    profiles: Path | None = None
    default_profile: str = "least-request"
    access_log: str | None = None
    log_format: str = "text"
    has_traces: bool = False
    has_model_histograms: bool = False
