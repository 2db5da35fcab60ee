"""When a container began to run: a node's clock says it, which may be another one than the API server's."""

from datetime import UTC, datetime, timedelta

import pytest

from rayfleet.model.json import Json
from rayfleet.objects.containers import container_lives, started_at
from rayfleet.objects.times import encode_time

CREATED = datetime(2026, 11, 29, 12, tzinfo=UTC)


def pod(start: datetime | None, **meta: str) -> Json:
    state = {"running": {"startedAt": encode_time(start)}} if start is not None else {"waiting": {}}
    status = {"containerStatuses": [{"name": "ray", "state": state}]}
    return {"metadata": {"name": "p", **meta}, "spec": {"containers": [{"name": "ray"}]}, "status": status}


@pytest.mark.parametrize(("seconds", "expected"), [(7, 7), (-600, 0), (0, 0)], ids=["after", "behind", "at once"])
def test_no_container_began_before_its_pod_was_there(seconds: int, expected: int) -> None:
    made = pod(CREATED + timedelta(seconds=seconds), creationTimestamp=encode_time(CREATED))
    [ray] = container_lives(made)
    assert started_at(made, ray) == CREATED + timedelta(seconds=expected)


def test_one_that_has_not_begun_has_no_start() -> None:
    waiting = pod(None, creationTimestamp=encode_time(CREATED))
    [ray] = container_lives(waiting)
    assert started_at(waiting, ray) is None
    bare = pod(CREATED)
    [ray] = container_lives(bare)
    assert started_at(bare, ray) == CREATED
