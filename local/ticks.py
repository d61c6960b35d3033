"""Converts between prices and whole numbers of ticks; both conversions are exact or raise."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation

# Inexact results raise instead of being rounded. 28 digits are enough for every exchange price.
_EXACT = Context(prec=28, traps=[Inexact, InvalidOperation])


class OffTickError(ValueError):
    """A price between two ticks, or a number that has no exact result."""


def to_price(ticks: int, tick_size: Decimal) -> Decimal:
    """The price of this number of ticks, with the decimals of `tick_size`. Raises OffTickError beyond 28 digits."""
    _check_size(tick_size)
    try:
        return _EXACT.multiply(Decimal(ticks), tick_size)
    except (Inexact, InvalidOperation) as error:
        raise OffTickError(f"{ticks} ticks of {tick_size} have more than 28 digits") from error


def to_ticks(price: Decimal, tick_size: Decimal) -> int:
    """The number of ticks of `price`. Raises OffTickError for a price between two ticks."""
    _check_size(tick_size)
    try:
        ticks = _EXACT.divide(price, tick_size)
    except (Inexact, InvalidOperation):
        ticks = Decimal("NaN")
    if not ticks.is_finite() or ticks != ticks.to_integral_value():
        raise OffTickError(f"{price} is not a whole number of ticks of {tick_size}")
    return int(ticks)


def _check_size(tick_size: Decimal) -> None:
    if not (tick_size.is_finite() and tick_size > 0):
        raise OffTickError(f"{tick_size} is not a tick size")
