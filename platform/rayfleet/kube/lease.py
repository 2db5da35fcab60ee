"""Leader election by a Lease, with self-fencing.

As client-go's leader election, and: every call has a time-out shorter than the retry period's room, expiry is judged by
this process's monotonic clock from the moment a change was *seen* (never by comparing wall clocks), a leader stops
itself (``may_act``) before anybody else may take over, and leaving gives the lease back so that the next one need not
wait.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound, Unauthorized
from rayfleet.model.errors import RayfleetError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import LEASES
from rayfleet.objects.times import encode_micro_time

log = logging.getLogger(__name__)


class LeadershipLost(RayfleetError):
    """The lease could not be renewed in time; another process may lead now, so this one must stop."""

    is_retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """client-go's defaults: renew_deadline < duration, so a leader gives up before others may begin."""

    key: ObjectKey
    identity: str
    duration: timedelta = timedelta(seconds=15)
    renew_deadline: timedelta = timedelta(seconds=10)
    retry_period: timedelta = timedelta(seconds=2)

    @property
    def call_timeout_seconds(self) -> float:
        """The limit of one call: two tries must fit into the renew deadline."""
        return self.renew_deadline.total_seconds() / 2.5


@dataclass(slots=True)
class _Seen:
    """The lease as last read: who holds it, which version, and when we saw it change (monotonic seconds)."""

    lease: ReadOnlyJson | None = None
    version: str = ""
    changed_at: float = field(default_factory=monotonic)


class LeaderElector:
    """Runs work while this process holds the lease."""

    def __init__(self, client: KubeClient, settings: LeaseSettings) -> None:
        if not settings.retry_period < settings.renew_deadline < settings.duration:
            raise ValueError("a lease needs retry_period < renew_deadline < duration")
        self._client = client
        self._settings = settings
        self._seen = _Seen()
        self._renewed_at = float("-inf")
        self._is_in_doubt = False  # a write of ours has had no answer: the lease may be another one than was seen
        self._failure = ""  # of the last try, empty when it was answered
        self.refusal = ""
        """Why we may not even ask for the lease, in the API server's words; empty when we may."""

    def may_act(self) -> bool:
        """Whether this process surely still leads; ask before every write."""
        return monotonic() - self._renewed_at < self._settings.renew_deadline.total_seconds()

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, run ``work`` while it is held, give it back.

        Raises LeadershipLost; work is cancelled first.
        """
        try:
            await self._acquire()
            log.info("leading", extra={"lease": str(self._settings.key), "identity": self._settings.identity})
            await self._hold(work)
        finally:
            await self._release()

    async def _hold(self, work: Callable[[], Awaitable[None]]) -> None:
        working = asyncio.ensure_future(work())
        renewing = asyncio.create_task(self._renew(), name="lease-renewal")
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if renewing.done() and not working.done():
                await renewing
        finally:
            await _ended(working)
            await _ended(renewing)
        await working

    async def _acquire(self) -> None:
        while not await self._try():
            jitter = random.uniform(1, 1.2)  # noqa: S311 - no secret
            await asyncio.sleep(self._settings.retry_period.total_seconds() * jitter)

    async def _renew(self) -> None:
        """Renew until it fails for longer than the deadline."""
        while True:
            await asyncio.sleep(self._settings.retry_period.total_seconds())
            await self._try()
            if not self.may_act() or not self._is_ours():
                raise LeadershipLost(self._loss())

    def _loss(self) -> str:
        words = f"the lease {self._settings.key} was not renewed within {self._settings.renew_deadline}"
        return f"{words}: {self._failure}" if self._failure else words

    async def _try(self) -> bool:
        """Take or renew the lease once; whether it is ours now. Failures are logged, not raised."""
        started_at = monotonic()
        try:
            async with asyncio.timeout(self._settings.call_timeout_seconds):
                is_ours = await self._take()
        except (ApiError, TimeoutError) as error:
            self._failure = str(error) or "no answer in time"
            self.refusal = self._failure if isinstance(error, Forbidden | Unauthorized) else ""
            log.warning("lease not renewed", extra={"lease": str(self._settings.key), "error": self._failure})
            return False
        self._failure = self.refusal = ""
        if is_ours:
            self._renewed_at = started_at
        return is_ours

    async def _take(self) -> bool:
        try:
            lease = await self._look()
        except NotFound:
            with contextlib.suppress(AlreadyExists):
                await self._written(self._client.create(LEASES, self._lease(None)))
                return True
            return False
        if not self._is_ours() and not self._is_free(lease):
            return False
        try:
            await self._written(self._client.replace(LEASES, self._lease(lease)))
        except Conflict:
            return False
        return True

    async def _written(self, answer: Awaitable[Json]) -> None:
        """Note the answer to a write; whoever stops waiting for it does not know whether it was taken."""
        self._is_in_doubt = True
        self._note(await answer)
        self._is_in_doubt = False

    def _note(self, lease: ReadOnlyJson) -> None:
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen.version:
            self._seen = _Seen(lease=lease, version=version)

    def _is_ours(self) -> bool:
        spec = (self._seen.lease or {}).get("spec") or {}
        return bool(spec.get("holderIdentity") == self._settings.identity)

    def _is_free(self, lease: ReadOnlyJson) -> bool:
        """Nobody holds it, or its holder did not renew for its own duration since we saw it change."""
        spec = lease.get("spec") or {}
        if not spec.get("holderIdentity"):
            return True
        seconds = spec.get("leaseDurationSeconds") or self._settings.duration.total_seconds()
        return bool(monotonic() - self._seen.changed_at > seconds)

    def _lease(self, previous: ReadOnlyJson | None) -> Json:
        now = encode_micro_time(self._client.clock.now())
        old = (previous or {}).get("spec") or {}
        is_change = old.get("holderIdentity") != self._settings.identity
        key = self._settings.key
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": (previous or {}).get("metadata") or {"name": key.name, "namespace": key.namespace},
            "spec": {
                "holderIdentity": self._settings.identity,
                "leaseDurationSeconds": max(1, int(self._settings.duration.total_seconds())),
                "acquireTime": now if is_change else old.get("acquireTime") or now,
                "renewTime": now,
                "leaseTransitions": (old.get("leaseTransitions") or 0) + (1 if is_change and previous else 0),
            },
        }

    async def _release(self) -> None:
        """Give the lease back if it is still ours; a failure only makes the next leader wait for expiry.

        A write that was cut off when the work ended may have been taken, and even be taken only now.
        """
        self._renewed_at = float("-inf")
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(self._settings.call_timeout_seconds):
                if self._is_in_doubt:
                    await self._look()
                while self._is_ours() and not await self._is_given_back():
                    await self._look()

    async def _look(self) -> Json:
        key = self._settings.key
        lease = await self._client.get(LEASES, key.name, key.namespace)
        self._note(lease)
        return lease

    async def _is_given_back(self) -> bool:
        """Try it; False when the lease is not what was seen."""
        assert self._seen.lease is not None
        spec = {**self._seen.lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._client.replace(LEASES, {**self._seen.lease, "spec": spec})
        except Conflict:
            return False
        return True


async def _ended(task: "asyncio.Future[None]") -> None:
    """Cancel a task and wait for its end; its error, if any, stays in it."""
    if not task.done():
        task.cancel()
    await asyncio.wait({task})
