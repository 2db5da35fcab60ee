"""Writes a pod's status whenever it has changed; an API server that is away is tried again, the newest status wins."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, NotFound
from rayfleet.local.node.pod_status import pod_status
from rayfleet.local.node.views import PodView
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import PODS
from rayfleet.objects.conditions import conditions_of
from rayfleet.objects.meta import key_of, uid_of

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5


class StatusWriter:
    """Writes for one pod; ``view`` returns what is known of it now."""

    def __init__(self, client: KubeClient, pod: ReadOnlyJson, view: Callable[[], PodView]) -> None:
        self._client = client
        self._key = key_of(pod)
        self._uid = uid_of(pod)
        self._conditions = conditions_of(pod)
        self._view = view
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()

    def changed(self) -> None:
        """Note that the view is another one now."""
        self._settled.clear()
        self._changed.set()

    async def settled(self, limit: timedelta) -> None:
        """Return when the newest status is written, or after ``limit``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit.total_seconds()):
                await self._settled.wait()

    async def run(self) -> None:
        """Write until cancelled, or until the pod's object is gone."""
        written: ReadOnlyJson = {}
        self.changed()
        while True:
            await self._changed.wait()
            self._changed.clear()
            status = pod_status(self._view(), self._conditions, datetime.now(UTC))
            try:
                if status != written:
                    await self._write(status)
            except NotFound:
                return  # the agent ends the pod
            except ApiError as error:
                log.warning(
                    "cannot write pod status; trying again", extra={"pod": str(self._key), "reason": error.message}
                )
                self._changed.set()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._conditions, written = status["conditions"], status
            if not self._changed.is_set():
                self._settled.set()

    async def _write(self, status: ReadOnlyJson) -> None:
        patch = {"metadata": {"uid": self._uid}, "status": status}
        await self._client.patch(PODS, self._key, patch, subresource="status")
