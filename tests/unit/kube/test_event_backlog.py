"""What is told when there is much to tell: together, in bounds, and nothing lost that has room."""

from rayfleet.kube.event_backlog import MOST_WORDS, Backlog, Pending, Subject
from rayfleet.model.events import EventType


def subject(name: str = "a", reason: str = "Created", kind: EventType = EventType.NORMAL) -> Subject:
    return Subject(reference=(("name", name), ("uid", name)), type=kind, reason=reason)


def taken(backlog: Backlog, now: float = 0.0) -> list[str]:
    """Return the messages of all that is due."""
    messages = []
    while (pending := backlog.take(now)) is not None:
        messages.append(pending.message)
    return messages


def test_words_of_one_reason_are_one_event() -> None:
    backlog = Backlog()
    for name in ("x", "y", "y", "z"):
        backlog.say(subject(), f"made {name}", due_at=0)
    backlog.say(subject(reason="Deleted"), "gone w", due_at=0)
    backlog.say(subject("b"), "made v", due_at=0)
    assert taken(backlog) == ["made x; made y; made z", "gone w", "made v"]


def test_the_same_words_count() -> None:
    backlog = Backlog()
    for _ in range(3):
        backlog.say(subject(), "again", due_at=0)
    pending = backlog.take(0)
    assert pending is not None
    assert (pending.message, pending.count) == ("again", 3)


def test_nothing_is_taken_before_it_is_due() -> None:
    backlog = Backlog()
    backlog.say(subject(), "soon", due_at=5)
    assert taken(backlog, now=4.9) == []
    assert backlog.next_due() == 5
    assert taken(backlog, now=5) == ["soon"]
    assert backlog.next_due() is None


def test_thousands_of_words_about_one_object_stay_one_event_that_says_how_many() -> None:
    backlog = Backlog()
    for number in range(3000):
        backlog.say(subject(), f"made {number}", due_at=0)
    (message,) = taken(backlog)
    assert message.startswith("made 0; made 1; ")
    assert message.endswith(f"; and {3000 - MOST_WORDS} more")
    assert backlog.dropped == 0


def test_a_message_keeps_to_the_limit_of_the_api() -> None:
    pending = Pending(subject=subject(), due_at=0)
    pending.say("x" * 2000)
    pending.say("y" * 2000)
    assert len(pending.message) == 1024


def test_a_full_backlog_drops_its_oldest_normal_event_and_keeps_warnings() -> None:
    backlog = Backlog(limit=2)
    backlog.say(subject("a", kind=EventType.WARNING), "warned", due_at=0)
    backlog.say(subject("b"), "old", due_at=0)
    backlog.say(subject("c"), "new", due_at=0)
    assert backlog.dropped == 1
    assert taken(backlog) == ["warned", "new"]


def test_an_object_over_its_budget_waits_and_others_do_not() -> None:
    backlog = Backlog()
    for number in range(40):
        backlog.say(subject(reason=f"Reason{number}"), "words", due_at=0)
    backlog.say(subject("other"), "others", due_at=0)
    assert taken(backlog) == ["words"] * 25 + ["others"]
    assert len(backlog) == 15
    assert taken(backlog, now=301) == ["words"]  # one each five minutes
    assert backlog.dropped == 0


def test_what_could_not_be_written_comes_back_with_what_was_said_meanwhile() -> None:
    backlog = Backlog()
    backlog.say(subject(), "first", due_at=0)
    pending = backlog.take(0)
    assert pending is not None
    backlog.say(subject(), "second", due_at=1)
    backlog.put_back(pending, due_at=3)
    assert taken(backlog, now=2) == []
    again = backlog.take(3)
    assert again is not None
    assert sorted(again.words) == ["first", "second"]
    assert again.tries == 1


def test_at_the_end_all_is_taken_due_or_not() -> None:
    backlog = Backlog()
    for name in ("a", "b"):
        backlog.say(subject(name), name, due_at=100)
    assert [pending.message for pending in backlog.take_all()] == ["a", "b"]
