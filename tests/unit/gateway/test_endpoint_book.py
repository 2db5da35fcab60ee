"""What is known of an endpoint lives as long as the endpoint is in the table."""

from rayfleet_gateway.model.values import Endpoint, Failure
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Backend, RouteTable, Rule
from rayfleet_gateway.state.endpoints import EndpointBook

ONE, TWO = (Endpoint(address="10.0.0.1", port=port) for port in (1, 2))


def table_of(*backends: Backend) -> RouteTable:
    match = Match(path="/v1", headers={"model": "m"})
    return RouteTable(by_model={"m": (Rule(match=match, route="ns/r", rank=(0,), backends=backends),)})


def backend(*endpoints: Endpoint) -> Backend:
    return Backend(service="ns/s", weight=1, endpoints=endpoints)


def test_an_endpoint_keeps_its_state_from_table_to_table() -> None:
    book, old, new = EndpointBook(), backend(ONE), backend(ONE, TWO)
    book.sync(table_of(old))
    state = book.pool_of(old).endpoints[0]
    book.sync(table_of(new))
    assert book.pool_of(new).endpoints[0] is state
    assert len(book.states()) == 2


def test_an_address_that_left_the_table_comes_back_as_a_new_endpoint() -> None:
    book, first, second = EndpointBook(), backend(ONE), backend(ONE)
    book.sync(table_of(first))
    state = book.pool_of(first).endpoints[0]
    book.sync(table_of())
    assert book.states() == ()
    book.sync(table_of(second))
    assert book.pool_of(second).endpoints[0] is not state


def test_an_endpoint_of_two_backends_has_one_state_until_both_are_gone() -> None:
    book, one, other = EndpointBook(), backend(ONE), backend(ONE, TWO)
    book.sync(table_of(one, other))
    state = book.pool_of(one).endpoints[0]
    assert book.pool_of(other).endpoints[0] is state
    book.sync(table_of(one))
    assert book.states() == (state,)


def test_a_backend_of_an_older_table_has_the_endpoints_that_are_still_there() -> None:
    book, old, new = EndpointBook(), backend(ONE, TWO), backend(TWO)
    book.sync(table_of(old))
    book.sync(table_of(new))
    assert [state.endpoint for state in book.pool_of(old).endpoints] == [TWO]


def test_what_is_new_is_taken_in_ahead_while_what_was_before_serves_on() -> None:
    book, old, new = EndpointBook(), backend(ONE), backend(TWO)
    book.sync(table_of(old))
    coming = table_of(new)
    book.prepare(coming)
    state = book.pool_of(new).endpoints[0]
    assert [each.endpoint for each in book.pool_of(old).endpoints] == [ONE]
    book.sync(coming)
    assert book.pool_of(new).endpoints == (state,)
    assert book.states() == (state,)


def test_of_what_was_taken_in_ahead_in_vain_nothing_stays() -> None:
    book, old = EndpointBook(), table_of(backend(ONE))
    book.sync(old)
    (first,) = book.states()
    for _ in range(2):  # the second part has the model anew
        book.prepare(table_of(backend(TWO)))
    book.sync(old)
    assert book.states() == (first,)


def test_what_many_models_leave_behind_is_let_go_of_by_and_by() -> None:
    """A step of the loop that all streams share is some milliseconds."""
    endpoints = [Endpoint(address="10.0.0.1", port=port) for port in range(1, 251)]
    rules = {str(each): table_of(backend(each)).by_model["m"] for each in endpoints}
    book = EndpointBook()
    book.sync(RouteTable(by_model=rules))
    book.sync(RouteTable())
    left = [len(book.states())]
    while book.let_go():
        left.append(len(book.states()))
    assert [*left, len(book.states())] == [150, 50, 0]


def test_an_engine_that_fails_half_of_its_requests_is_ejected_while_another_is_well() -> None:
    book, both = EndpointBook(), backend(ONE, TWO)
    book.sync(table_of(both))
    state = book.pool_of(both).endpoints[0]
    for turn in range(60):
        book.note(state, Failure.ERROR_STATUS if turn % 2 else None, float(turn), is_trial=False)
    assert state.is_ejected
    assert book.pool_of(both).ready == book.pool_of(both).endpoints[1:]


def test_an_engine_that_fails_one_of_ten_is_not() -> None:
    book, both = EndpointBook(), backend(ONE, TWO)
    book.sync(table_of(both))
    state = book.pool_of(both).endpoints[0]
    for turn in range(600):
        book.note(state, None if turn % 10 else Failure.RESET, float(turn), is_trial=False)
    assert not state.is_ejected


def test_each_ejection_is_told_with_its_cause_and_lasts_twice_as_long() -> None:
    causes: list[str] = []
    book, both = EndpointBook(on_ejected=causes.append), backend(ONE, TWO)
    book.sync(table_of(both))
    state = book.pool_of(both).endpoints[0]
    for _ in range(3):
        book.note(state, Failure.CONNECT_TIMEOUT, 0.0, is_trial=False)
    lasts = [state.health.retry_at]
    for _ in range(5):
        now = state.health.retry_at
        book.note(state, Failure.RESET, now, is_trial=True)
        lasts.append(state.health.retry_at - now)
    assert causes == ["connect_timeout"]
    for seconds, mean in zip(lasts, (5, 10, 20, 40, 60, 60), strict=True):
        assert 0.8 * mean <= seconds <= 1.2 * mean
