"""What is counted, what the page says of it, and how much a page may hold."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as classic_families

from rayfleet_gateway.answer.refusals import CODES
from rayfleet_gateway.model.values import Outcome, Result
from rayfleet_gateway.telemetry.counts import MOST_LABELS, MOST_MODELS, OTHER, Labelled, Telemetry
from rayfleet_gateway.telemetry.families import Snapshot
from rayfleet_gateway.telemetry.histogram import Histogram
from rayfleet_gateway.telemetry.page import encoded, snapshots

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PREFIX = "rayfleet_gateway_"


def outcome(model: str = "m", result: Result = Result.OK, status: int = 200, **more: Any) -> Outcome:
    return replace(Outcome(model=model, status=status, result=result, seconds=2.0), **more)


def samples(telemetry: Telemetry, ready: Iterable[tuple[str, int]] = ()) -> dict[tuple[str, ...], float]:
    """Return the classic page: (name, label values in the order of their names) -> value."""
    text = encoded(snapshot(telemetry, ready), "")[0].decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in classic_families(text)
        for sample in family.samples
    }


def snapshot(telemetry: Telemetry, ready: Iterable[tuple[str, int]] = ()) -> Snapshot:
    *_, last = snapshots(telemetry, ready, now=100.0)
    assert last is not None
    return last


@pytest.mark.parametrize(("value", "bucket"), [(0.5, 0), (1.0, 0), (1.001, 1), (2.0, 1), (2.001, 2)])
def test_a_bound_belongs_to_its_bucket(value: float, bucket: int) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(value)
    assert [index for index, count in enumerate(histogram.counts) if count] == [bucket]
    assert histogram.total == value


def test_each_outcome_counts_once_under_its_model_and_over_all() -> None:
    telemetry = Telemetry()
    telemetry.count(outcome(first_byte_seconds=0.5, prompt_tokens=7, completion_tokens=3, path="/v1/chat/completions"))
    telemetry.count(outcome(result=Result.REFUSED, status=503, code="model_not_ready"))
    telemetry.count(outcome("unknown", Result.REFUSED, 431, code="head_too_large"))
    page = samples(telemetry)
    assert page[f"{PREFIX}requests_total", "m", "ok"] == 1
    assert page[f"{PREFIX}requests_total", "m", "refused"] == 1
    assert page[f"{PREFIX}requests_total", "unknown", "refused"] == 1
    assert page[f"{PREFIX}answers_total", "refused", "431"] == 1
    assert page[f"{PREFIX}refusals_total", "model_not_ready"] == 1
    assert page[f"{PREFIX}request_seconds_total", "m"] == 4
    assert page[f"{PREFIX}first_byte_seconds_total", "m"] == 0.5
    assert page[f"{PREFIX}tokens_total", "m", "input"] == 7
    assert page[f"{PREFIX}request_duration_seconds_count",] == 3
    assert page[f"{PREFIX}time_to_first_byte_seconds_count",] == 1
    assert page["gen_ai_server_time_to_first_token_seconds_bucket", "chat", "0.25"] == 0
    assert page["gen_ai_server_time_to_first_token_seconds_bucket", "chat", "0.5"] == 1
    assert page["gen_ai_client_token_usage_sum", "chat", "output"] == 3


def test_a_mean_first_byte_is_over_what_engines_answered_whole() -> None:
    telemetry = Telemetry()
    telemetry.count(outcome(first_byte_seconds=0.5))
    telemetry.count(outcome(first_byte_seconds=90.0, result=Result.CLIENT_GONE))
    assert samples(telemetry)[f"{PREFIX}first_byte_seconds_total", "m"] == 0.5


@pytest.mark.parametrize(
    ("tokens", "is_stream", "result", "counted"),
    [(5, True, Result.OK, 1), (1, True, Result.OK, 0), (5, False, Result.OK, 0), (5, True, Result.CUT, 0)],
)
def test_time_per_token_is_of_whole_streams_with_more_than_one(
    tokens: int, is_stream: bool, result: Result, counted: int
) -> None:
    telemetry = Telemetry()
    telemetry.count(outcome(result=result, first_byte_seconds=1.0, completion_tokens=tokens, is_stream=is_stream))
    page = samples(telemetry)
    assert page["gen_ai_server_time_per_output_token_seconds_count", "other"] == counted
    assert page["gen_ai_server_time_per_output_token_seconds_sum", "other"] == pytest.approx(0.25 * counted)


def test_what_has_not_happened_is_told_as_none() -> None:
    page = samples(Telemetry())
    assert {code: page[f"{PREFIX}refusals_total", code] for code in CODES} == dict.fromkeys(CODES, 0)
    for name in ("retries", "ejections"):
        assert page[f"{PREFIX}{name}_total", "not_connected"] == 0


def test_a_model_has_at_most_fifteen_series() -> None:
    telemetry = Telemetry()
    for result in Result:
        for status in (200, 429, 503):
            telemetry.count(outcome(result=result, status=status, first_byte_seconds=1.0, prompt_tokens=1))
    assert len([key for key in samples(telemetry, [("m", 2)]) if "m" in key[1:]]) == 15


def test_series_go_with_their_model_when_its_last_request_has_left() -> None:
    telemetry = Telemetry()
    for model in ("stays", "goes", "unknown"):
        telemetry.count(outcome(model))
    running = telemetry.series("running")
    running.in_flight += 1
    telemetry.keep({"stays"})
    assert sorted(series.name for series in telemetry.all_series) == ["running", "stays", "unknown"]
    running.in_flight -= 1
    telemetry.keep({"stays"})
    assert sorted(series.name for series in telemetry.all_series) == ["stays", "unknown"]
    assert samples(telemetry)[f"{PREFIX}answers_total", "ok", "200"] == 3, "what was counted over all stays"


def test_labels_are_bounded() -> None:
    labelled = Labelled()
    for number in range(MOST_LABELS + 10):
        labelled.add(str(number))
    assert len(labelled.counts) == MOST_LABELS + 1
    assert labelled.counts[OTHER] == 10
    telemetry = Telemetry()
    for number in range(MOST_MODELS + 10):
        telemetry.series(str(number))
    assert len(telemetry.all_series) == MOST_MODELS + 1
    for status in range(1000, 1500):
        telemetry.count(outcome(status=status))
    assert samples(telemetry)[f"{PREFIX}answers_total", "ok", OTHER] == 500


def test_histograms_by_model_are_an_offer_and_count_over_all_too() -> None:
    telemetry = Telemetry(has_model_histograms=True)
    telemetry.count(outcome(first_byte_seconds=1.0))
    telemetry.series("m").inter_token.observe(0.1)
    page = samples(telemetry)
    assert page[f"{PREFIX}model_request_duration_seconds_count", "m"] == 1
    assert page[f"{PREFIX}model_time_to_first_byte_seconds_count", "m"] == 1
    assert page[f"{PREFIX}model_inter_token_seconds_count", "m"] == page[f"{PREFIX}inter_token_seconds_count",] == 1


def test_every_sink_gets_every_outcome() -> None:
    seen: list[Outcome] = []
    telemetry = Telemetry()
    telemetry.sinks += [seen.append, seen.append]
    telemetry.count(outcome())
    assert seen == [outcome(), outcome()]


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_both_texts_are_read_by_their_strict_parsers_and_say_the_same(accept: str) -> None:
    telemetry = Telemetry(has_model_histograms=True)
    telemetry.count(outcome('a"b\\c\nd', first_byte_seconds=1.0, prompt_tokens=1, completion_tokens=2))
    telemetry.tallies.retries.add("reset")
    telemetry.tallies.problems = {"RefNotPermitted": 2}
    telemetry.tallies.table_changed_at = 40.0
    body, content_type = encoded(snapshot(telemetry, [("m", 2)]), accept)
    parse = openmetrics_families if accept else classic_families
    page = {
        (sample.name, *sample.labels.values()): sample.value for each in parse(body.decode()) for sample in each.samples
    }
    assert page[f"{PREFIX}requests_total", 'a"b\\c\nd', "ok"] == 1
    assert page[f"{PREFIX}table_age_seconds",] == 60
    assert page[f"{PREFIX}problems", "RefNotPermitted"] == 2
    assert page["process_open_fds",] > 0
    assert content_type.startswith("application/openmetrics-text" if accept else "text/plain; version=0.0.4")


def test_a_copy_of_many_models_gives_the_loop_a_turn_each_hundred() -> None:
    telemetry = Telemetry()
    for number in range(1000):
        telemetry.series(str(number))
    *pauses, last = snapshots(telemetry, [(str(number), 1) for number in range(1000)], now=0.0)
    assert pauses == [None] * 20
    assert last is not None
    assert len(last.models) == len(last.ready_endpoints) == 1000


def test_a_snapshot_does_not_change_with_what_is_counted_after_it() -> None:
    telemetry = Telemetry(has_model_histograms=True)
    telemetry.count(outcome(first_byte_seconds=1.0))
    telemetry.tallies.retries.add("reset")
    before = snapshot(telemetry)
    first = encoded(before, OPENMETRICS)[0]
    telemetry.count(outcome(first_byte_seconds=1.0, code="x"))
    telemetry.series("m").inter_token.observe(1.0)
    telemetry.tallies.retries.add("reset")
    own = [line for line in first.splitlines() if not line.startswith(b"process_")]
    again = [line for line in encoded(before, OPENMETRICS)[0].splitlines() if not line.startswith(b"process_")]
    assert again == own


def test_models_beyond_the_bound_share_one_series() -> None:
    telemetry = Telemetry()
    for number in range(MOST_MODELS):
        telemetry.series(f"m{number}")
    for model in ("one", "another"):
        telemetry.count(outcome(model))
    assert telemetry.series("one") is telemetry.series("another")
    assert sum(telemetry.series("one").answers.values()) == 2
    assert len(telemetry.all_series) == MOST_MODELS + 1
