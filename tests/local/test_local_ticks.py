"""Prices and ticks: exact both ways, for the sizes that exchanges use."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.ticks import OffTickError, to_price, to_ticks

_SIZES = [Decimal("0.25"), Decimal("0.01"), Decimal("0.03125"), Decimal("0.00005")]
_TICKS = st.integers(-(10**12), 10**12)


@given(ticks=_TICKS, size=st.sampled_from(_SIZES))
def test_ticks_come_back_from_their_price(ticks: int, size: Decimal) -> None:
    """For 0.25, 0.01, 1/32 and 0.00005: the price is the exact product, and gives the same ticks again."""
    price = to_price(ticks, size)
    assert Fraction(price) == ticks * Fraction(size)
    assert to_ticks(price, size) == ticks


@given(ticks=_TICKS, size=st.sampled_from(_SIZES), part=st.integers(1, 9))
def test_a_price_between_two_ticks_is_refused(ticks: int, size: Decimal, part: int) -> None:
    """Nothing is rounded in silence, however near the next tick is."""
    with pytest.raises(OffTickError):
        to_ticks(to_price(ticks, size) + size * part / 10, size)


@given(first=_TICKS, second=_TICKS, size=st.sampled_from(_SIZES))
def test_a_move_counts_the_same_in_ticks_and_in_prices(first: int, second: int, size: Decimal) -> None:
    """The difference of two prices is the price of the difference."""
    assert to_ticks(to_price(first, size) - to_price(second, size), size) == first - second


@pytest.mark.parametrize("size", ["0", "-0.25", "NaN", "Infinity"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    """A tick is a positive number."""
    with pytest.raises(OffTickError):
        to_price(1, Decimal(size))
    with pytest.raises(OffTickError):
        to_ticks(Decimal(1), Decimal(size))


@pytest.mark.parametrize("price", ["NaN", "Infinity", "0.1", "1e-30", "123456789012345678901234567890.25"])
def test_a_price_that_is_none_is_refused(price: str) -> None:
    """What is not a whole number of ticks, or not exactly known, is no price."""
    with pytest.raises(OffTickError):
        to_ticks(Decimal(price), Decimal("0.25"))


def test_more_digits_than_can_be_kept_are_refused() -> None:
    """A product beyond 28 digits raises instead of losing some."""
    with pytest.raises(OffTickError):
        to_price(10**30 + 1, Decimal("0.03125"))
