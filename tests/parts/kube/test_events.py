"""The recorder's budgets: it never floods an API server with what it has to say."""

from datetime import UTC, datetime

from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient
from rayfleet.kube.events import EventRecorder
from rayfleet.model.json import Json

ABOUT: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n", "uid": "u"}}


def recorder() -> EventRecorder:
    client = KubeClient(KubeAddress(url="http://127.0.0.1:1"))
    return EventRecorder(client, "test", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def test_an_object_has_a_budget_and_others_have_their_own() -> None:
    tested = recorder()
    for _ in range(40):
        tested.record(ABOUT, reason="Same", message="words")
    assert tested.dropped == 15
    tested.record({**ABOUT, "metadata": {**ABOUT["metadata"], "uid": "other"}}, reason="Same", message="words")
    assert tested.dropped == 15


async def test_many_messages_of_one_reason_are_combined() -> None:
    tested = recorder()
    for number in range(20):
        tested.record(ABOUT, reason="Created", message=f"number {number}")
    said = [tested._queue.get_nowait().message for _ in range(20)]
    assert said[:10] == [f"number {number}" for number in range(10)]
    assert set(said[10:]) == {"(combined from similar events): Created"}
