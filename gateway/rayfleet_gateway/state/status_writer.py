"""Writes the status of routes and Gateways: soon after a change, never twice the same, never in anybody's way.

Several gateways may do so at once: each waits a little, by chance, so that the others see what the first one wrote and
find nothing to do. A write rests on the version that was looked at; what came between wakes it again by the watch.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, Conflict, Forbidden, NotFound
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import uid_of, version_of

log = logging.getLogger(__name__)

# A rollout's objects come one after the other; who reads a status does not want to see each step.
SETTLE_SECONDS = 0.5
SPREAD_SECONDS = 1.0
_PAUSE_SECONDS = 0.02  # between writes: with a thousand routes the loop is the streams' all the same
_RETRY_SECONDS = 5.0
REFUSED_SECONDS = 60.0  # until a write that is not allowed is tried again: somebody may have allowed it meanwhile
_LOOKS_AT_ONCE = 20

Look = Callable[[ResourceType, ObjectKey, datetime], tuple[ReadOnlyJson, Json] | None]
"""Returns an object and the status it ought to have; None: nothing is to be written."""


class StatusWriter:
    """``look`` says what an object's status ought to be."""

    def __init__(self, client: KubeClient, look: Look) -> None:
        self._client = client
        self._look = look
        self._noted: dict[tuple[ResourceType, ObjectKey], None] = {}
        self._has_noted = asyncio.Event()
        self._is_refused = False  # at the last try, and told

    def note(self, resource: ResourceType, key: ObjectKey) -> None:
        """Look at an object's status soon."""
        self._noted[resource, key] = None
        self._has_noted.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._has_noted.wait()
            await asyncio.sleep(SETTLE_SECONDS + SPREAD_SECONDS * random.random())  # noqa: S311 - no secret
            self._has_noted.clear()
            noted, self._noted = self._noted, {}
            for number, (resource, key) in enumerate(noted):
                if not number % _LOOKS_AT_ONCE:
                    await asyncio.sleep(0)
                await self._write(resource, key)

    async def _write(self, resource: ResourceType, key: ObjectKey) -> None:
        looked = self._look(resource, key, datetime.now(UTC))
        if looked is None:
            return
        seen, status = looked
        patch = {"metadata": {"resourceVersion": version_of(seen), "uid": uid_of(seen)}, "status": status}
        try:
            await self._client.patch(resource, key, patch, subresource="status")
        except (Conflict, NotFound):
            log.debug("status is newer than what was seen", extra={"resource": resource.plural, "object": str(key)})
        except ApiError as error:
            self._put_off(resource, key, error)
            await asyncio.sleep(_RETRY_SECONDS)
            return
        else:
            self._is_refused = False
        await asyncio.sleep(_PAUSE_SECONDS)

    def _put_off(self, resource: ResourceType, key: ObjectKey, error: ApiError) -> None:
        """Take note of a write that failed; one that is not allowed is told once."""
        facts = {"resource": resource.plural, "object": str(key), "error": error.message}
        is_refused = isinstance(error, Forbidden)
        log.log(
            logging.DEBUG if is_refused and self._is_refused else logging.WARNING, "status not written", extra=facts
        )
        self._is_refused = self._is_refused or is_refused
        if error.is_retryable:
            self.note(resource, key)
        elif is_refused:
            asyncio.get_running_loop().call_later(REFUSED_SECONDS, self.note, resource, key)
