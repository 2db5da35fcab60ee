"""What is known of an endpoint lives as long as the endpoint is in the table."""

from rayfleet_gateway.model.values import Endpoint
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
