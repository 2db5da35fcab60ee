"""Quantities: exact, added up, and written as the API server writes them."""

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from rayfleet.objects.quantity import QUANTITY_PATTERN, Quantity, canonical_quantity, whole_amount

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "apiserver" / "quantities.json").read_text("utf-8"))


@pytest.mark.parametrize(("sent", "stored"), RECORDED["quantities"].items())
def test_a_quantity_is_stored_as_the_real_server_stores_it(sent: str, stored: str) -> None:
    assert canonical_quantity(sent) == stored
    assert canonical_quantity(stored) == stored


@pytest.mark.parametrize("text", [*RECORDED["wrong"], " 1", "1 "])
def test_what_the_real_server_refuses_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        canonical_quantity(text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2k", 2000),
        ("1e3", 1000),
        ("12e-1", Fraction(6, 5)),
        (".5", Fraction(1, 2)),
        ("+2", 2),
        ("1.", 1),
        (4, 4),
        ("1000m", 1),
        ("1Ki", 1024),
        ("8Gi", 8 * 2**30),
        ("1n", Fraction(1, 10**9)),
        ("-3", -3),
        ("1E", 10**18),
        ("1Ei", 2**60),
    ],
)
def test_every_notation_of_the_api_server_is_read(text: str | float, amount: Fraction | int) -> None:
    assert Quantity.parse(text).amount == amount


@pytest.mark.parametrize(
    "text",
    ["", "two", "much", "1ki", "1GiB", "1 Gi", "e3", ".", "1e", "0x10", "1Gi1", "--1", "1,5", "Gi", "4x", "4Gx"],
)
def test_what_is_no_quantity_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        Quantity.parse(text)


@pytest.mark.parametrize("text", ["1e1000000000", "1e-1000000000", "1E+0001000"])
def test_an_exponent_that_would_take_for_ever_is_refused_and_counts_as_nothing(text: str) -> None:
    """A fleet's template is open: one such amount must not stop the loop that all controllers share."""
    with pytest.raises(ValueError, match="too large or too small"):
        Quantity.parse(text)
    assert whole_amount(text) == 0
    assert canonical_quantity("1e+0000000000000006") == "1e6"


@pytest.mark.parametrize(
    ("terms", "total"),
    [
        ((), "0"),
        (("0", "0"), "0"),
        (("8Gi", "8Gi"), "16Gi"),
        (("1Gi", "512Mi"), "1536Mi"),
        (("500m", "1"), "1500m"),
        (("4", "500m"), "4500m"),
        (("0.5", "0.5"), "1"),
        (("0", "1Gi"), "1Gi"),
        (("1000", "1"), "1001"),
        (("1000",), "1k"),
        (("512", "1Ki"), "1536"),
        (("1e3",), "1e3"),
        (("1e3", "500m"), "1000500e-3"),
        (("0.5Gi", "1"), "536870913"),
        (("1e3", "1e3"), "2e3"),
        (("1", "1Ki"), "1025"),
        (("100n",), "100n"),
    ],
)
def test_a_sum_is_written_in_the_notation_of_its_first_term(terms: tuple[str, ...], total: str) -> None:
    """Each as ``resource.Quantity``'s ``Add`` and ``String`` give it (apimachinery v0.36.3)."""
    assert str(Quantity.total(terms)) == total


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        ("2k", 2000),
        ("100m", 1),
        ("1000m", 1),
        ("1500m", 2),
        ("1Ki", 1024),
        (8, 8),
        ("8", 8),
        (2.0, 2),
        ("many", 0),
        (None, 0),
        (True, 0),
        ([], 0),
    ],
)
def test_a_count_of_devices_is_whole_and_nonsense_counts_as_none(value: object, whole: int) -> None:
    assert whole_amount(value) == whole


@pytest.mark.parametrize("text", ["2", "500m", "1e3", ".5", "+2", "12e-1", "8Gi", "1.5Gi", "100n"])
def test_the_schema_lets_through_what_an_api_server_takes(text: str) -> None:
    assert re.search(QUANTITY_PATTERN, text)


@pytest.mark.parametrize("text", ["-1", "two", "8gi", "", "1e", "."])
def test_the_schema_refuses_what_nobody_can_ask_for(text: str) -> None:
    assert not re.search(QUANTITY_PATTERN, text)


@pytest.mark.parametrize(("text", "number"), [("2", 2), ("1500m", 1.5), ("1Ki", 1024), ("1e20", 10**20)])
def test_a_number_for_json_is_whole_where_the_amount_is(text: str, number: float) -> None:
    assert (Quantity.parse(text).number, type(Quantity.parse(text).number)) == (number, type(number))
