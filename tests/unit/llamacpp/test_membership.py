"""When the engine is healthy, which server a request goes to, and how pages are summed.

The pure parts of the driver.
"""

from pathlib import Path

import pytest

from rayfleet_llamacpp.membership import (
    Observation,
    RayNode,
    Reason,
    Slot,
    SlotState,
    alive_addresses,
    dead_addresses,
    free_node,
    is_alive,
    judge,
    neighbours,
)
from rayfleet_llamacpp.page import counters, merged, parse_page, render_page, steps_taken
from rayfleet_llamacpp.pick import least_busy
from rayfleet_llamacpp.wire import openai_error, requested_model, split_events

PAGE = parse_page((Path(__file__).parents[2] / "data" / "llamacpp-metrics.txt").read_text(encoding="utf-8"))


def node(address: str, *, machine: str = "m", is_alive: bool = True) -> RayNode:
    return RayNode(identity=f"{address}/{is_alive}", address=address, machine=machine, is_alive=is_alive)


def serving(index: int) -> Slot:
    return Slot(
        index=index, state=SlotState.SERVING, node=f"10.0.0.{index}", url=f"http://10.0.0.{index}:1", pid=index + 1
    )


BOTH = (node("10.0.0.0"), node("10.0.0.1"))


def observed(
    slots: tuple[Slot, ...] = (serving(0), serving(1)),
    nodes: tuple[RayNode, ...] = BOTH,
    *,
    is_connected: bool = True,
    silence: float = 0.1,
    is_draining: bool = False,
) -> Observation:
    return Observation(
        expected_nodes=2,
        is_connected=is_connected,
        ray_silence_seconds=silence,
        nodes=nodes,
        slots=slots,
        is_draining=is_draining,
    )


LOST = serving(1).moved(SlotState.LOST, cause="its port is closed")


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (observed(), None),
        (observed(is_draining=True), Reason.DRAINING),
        (observed(is_connected=False), Reason.STARTING),
        (observed(silence=6), Reason.RAY_SILENT),
        (observed((serving(0), LOST)), Reason.LOST),
        (observed((serving(0), LOST), BOTH[:1]), Reason.LOST),
        (observed((serving(0), LOST.moved(SlotState.LOADING))), Reason.LOST),
        (observed(nodes=BOTH[:1]), Reason.WAITING_FOR_NODES),
        (observed((serving(0), Slot(index=1))), Reason.LOADING),
    ],
)
def test_the_engine_is_healthy_only_when_every_node_serves(seen: Observation, reason: Reason | None) -> None:
    verdict = judge(seen)
    assert verdict.reason == reason
    assert verdict.is_healthy == (reason is None)
    assert verdict.message


def test_a_lost_server_says_why() -> None:
    assert judge(observed((serving(0), LOST))).message == "1 of 2 servers lost (server 1: its port is closed)"


def test_a_server_that_came_back_is_no_longer_lost() -> None:
    back = LOST.moved(SlotState.LOADING).moved(SlotState.SERVING, node="10.0.0.1", url="http://10.0.0.1:2", pid=9)
    assert judge(observed((serving(0), back))).is_healthy


def test_a_slot_takes_no_step_outside_the_table() -> None:
    with pytest.raises(ValueError, match="slot 0 cannot go from empty to serving"):
        Slot(index=0).moved(SlotState.SERVING)


def test_a_replaced_node_is_not_dead() -> None:
    nodes = (node("10.0.0.1", is_alive=False), node("10.0.0.1"), node("10.0.0.2", is_alive=False))
    assert alive_addresses(nodes) == ("10.0.0.1",)
    assert dead_addresses(nodes) == ("10.0.0.2",)


@pytest.mark.parametrize(
    ("slots", "nodes", "address"),
    [
        ((), BOTH, "10.0.0.0"),
        ((serving(0),), BOTH, "10.0.0.1"),
        ((Slot(index=0).moved(SlotState.LOADING, node="10.0.0.0"), Slot(index=1)), BOTH, "10.0.0.1"),
        ((serving(0), serving(1)), BOTH, None),
        ((serving(0), LOST), BOTH, "10.0.0.1"),  # what is lost has no node any more
        ((serving(0),), (BOTH[0], node("10.0.0.1", is_alive=False)), None),
        ((serving(0),), (BOTH[0], node("10.0.0.1", is_alive=False), BOTH[1]), "10.0.0.1"),
    ],
)
def test_a_server_gets_a_live_node_of_its_own(
    slots: tuple[Slot, ...], nodes: tuple[RayNode, ...], address: str | None
) -> None:
    free = free_node(nodes, slots)
    assert (free.address if free else None) == address
    assert free is None or free.is_alive


def test_a_node_that_came_after_another_at_its_address_is_not_that_one() -> None:
    dead, successor = node("10.0.0.1", is_alive=False), node("10.0.0.1")
    assert not is_alive((dead, successor), dead.identity)
    assert is_alive((dead, successor), successor.identity)
    assert not is_alive((), successor.identity)


def test_nodes_of_one_machine_share_its_cores() -> None:
    nodes = (
        node("a", machine="x"),
        node("b", machine="x"),
        node("c", machine="y"),
        node("d", machine="x", is_alive=False),
    )
    assert [neighbours(nodes, address) for address in ("a", "c", "unknown")] == [2, 1, 1]


@pytest.mark.parametrize(
    ("busy", "turns", "without", "expected"),
    [
        ({}, {}, (), 0),
        ({0: 1}, {}, (), 1),
        ({0: 1, 1: 2}, {}, (), 0),
        ({0: 1, 1: 1}, {0: 5, 1: 4}, (), 1),
        ({1: 9}, {}, (0,), 1),
        ({}, {}, (0, 1), None),
    ],
)
def test_the_least_busy_server_is_picked(
    busy: dict[int, int], turns: dict[int, int], without: tuple[int, ...], expected: int | None
) -> None:
    picked = least_busy((serving(0), serving(1)), busy, turns, without)
    assert (picked.index if picked else None) == expected


def test_a_lost_server_is_never_picked() -> None:
    assert least_busy((LOST,), {}, {}) is None


def test_pages_are_summed_and_averages_made_anew() -> None:
    both = merged((PAGE, PAGE)).values
    assert both["llamacpp:tokens_predicted_total"] == 2 * 2769
    assert both["llamacpp:n_tokens_max"] == 137
    assert both["llamacpp:predicted_tokens_seconds"] == pytest.approx(2769 / 106.898)


def test_a_servers_steps_grow_with_its_calls_of_the_model_and_with_its_prompts() -> None:
    assert steps_taken(PAGE) == 850 + 124
    assert steps_taken(merged(())) == 0


def test_a_lost_servers_counters_stay_in_the_sums_and_its_gauges_do_not() -> None:
    kept = counters(PAGE)
    assert kept.values["llamacpp:tokens_predicted_total"] == 2769
    assert "llamacpp:requests_processing" not in kept.values


def test_a_page_of_one_server_is_rendered_as_it_came() -> None:
    again = parse_page(render_page(merged((PAGE,))))
    assert set(again.values) == set(PAGE.values)
    assert again.kinds == PAGE.kinds
    assert again.helps == PAGE.helps
    assert again.values == pytest.approx(PAGE.values, rel=0.01)  # averages: see the module


def test_no_page_at_all_is_an_empty_page() -> None:
    assert render_page(merged(())) == ""


@pytest.mark.parametrize(
    ("buffered", "whole", "rest"),
    [
        (b"", b"", b""),
        (b"data: 1\n\n", b"data: 1\n\n", b""),
        (b"data: 1\n\ndata", b"data: 1\n\n", b"data"),
        (b"data: 1\n", b"", b"data: 1\n"),
    ],
)
def test_only_whole_events_are_passed_on(buffered: bytes, whole: bytes, rest: bytes) -> None:
    assert split_events(buffered) == (whole, rest)


@pytest.mark.parametrize(("body", "model"), [(b'{"model": "m"}', "m"), (b"{}", None), (b'{"model": null}', None)])
def test_the_requested_model_is_read(body: bytes, model: str | None) -> None:
    assert requested_model(body) == model


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": 3}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"body is not|model is not"):
        requested_model(body)


def test_errors_are_brought_into_openais_shape() -> None:
    theirs = b'{"error":{"code":400,"message":"Expected messages","type":"invalid_request_error"}}'
    ours = b'{"error": {"message": "Expected messages", "type": "invalid_request_error", "param": null, "code": "400"}}'
    assert openai_error(theirs) == ours
    assert openai_error(b"plain text") == b"plain text"
