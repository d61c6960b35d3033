"""Prices and ticks: exact in both directions, for the tick sizes of exchanges."""

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
def test_a_price_converts_back_to_its_ticks(ticks: int, size: Decimal) -> None:
    """For 0.25, 0.01, 1/32 and 0.00005 the price is the exact product and converts back."""
    price = to_price(ticks, size)
    assert Fraction(price) == ticks * Fraction(size)
    assert to_ticks(price, size) == ticks


@given(ticks=_TICKS, size=st.sampled_from(_SIZES), part=st.integers(1, 9))
def test_a_price_between_two_ticks_raises(ticks: int, size: Decimal, part: int) -> None:
    """No price is rounded, however near the next tick is."""
    with pytest.raises(OffTickError):
        to_ticks(to_price(ticks, size) + size * part / 10, size)


@given(first=_TICKS, second=_TICKS, size=st.sampled_from(_SIZES))
def test_a_difference_is_the_same_in_ticks_and_prices(first: int, second: int, size: Decimal) -> None:
    """The difference of two prices is the price of the difference."""
    assert to_ticks(to_price(first, size) - to_price(second, size), size) == first - second


@pytest.mark.parametrize("size", ["0", "-0.25", "NaN", "Infinity"])
def test_an_invalid_tick_size_raises(size: str) -> None:
    """A tick size is a positive number."""
    with pytest.raises(OffTickError):
        to_price(1, Decimal(size))
    with pytest.raises(OffTickError):
        to_ticks(Decimal(1), Decimal(size))


@pytest.mark.parametrize("price", ["NaN", "Infinity", "0.1", "1e-30", "123456789012345678901234567890.25"])
def test_an_invalid_price_raises(price: str) -> None:
    """A price must be finite and a whole number of ticks."""
    with pytest.raises(OffTickError):
        to_ticks(Decimal(price), Decimal("0.25"))


def test_more_than_28_digits_raise() -> None:
    """A longer product raises instead of losing digits."""
    with pytest.raises(OffTickError):
        to_price(10**30 + 1, Decimal("0.03125"))
