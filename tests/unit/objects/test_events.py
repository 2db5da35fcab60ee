"""Facts of events (rayfleet.objects.events)."""

from datetime import UTC, datetime

from rayfleet.objects.events import by_age, decode_event


def test_an_event_of_an_old_recorder() -> None:
    facts = decode_event(
        {
            "metadata": {"name": "e", "namespace": "here"},
            "type": "Warning",
            "reason": "Failed",
            "message": "no",
            "involvedObject": {"kind": "Pod", "name": "a", "uid": "u"},
            "count": 3,
            "lastTimestamp": "2026-01-01T00:00:09Z",
        }
    )
    assert (facts.namespace, facts.type, facts.reason, facts.message) == ("here", "Warning", "Failed", "no")
    assert (facts.kind, facts.name, facts.uid, facts.count) == ("Pod", "a", "u", 3)
    assert facts.last_seen == datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC)


def test_an_event_of_a_new_recorder_was_last_seen_when_its_series_was() -> None:
    series = {"count": 5, "lastObservedTime": "2026-01-01T00:00:09Z"}
    facts = decode_event({"metadata": {}, "eventTime": "2026-01-01T00:00:01Z", "series": series})
    assert facts.count == 5
    assert facts.last_seen == datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC)


def test_events_are_told_oldest_first() -> None:
    late = decode_event({"metadata": {"creationTimestamp": "2026-01-01T00:00:09Z"}})
    early = decode_event({"metadata": {}, "lastTimestamp": "2026-01-01T00:00:01Z"})
    unknown = decode_event({"metadata": {}})
    assert by_age([late, early, unknown]) == [unknown, early, late]
