"""Prices are whole numbers of ticks; both ways between the two are exact, or refused."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation

# Nothing is rounded in silence: what does not fit raises. 28 digits hold any price of any exchange.
_EXACT = Context(prec=28, traps=[Inexact, InvalidOperation])


class OffTickError(ValueError):
    """A price between two ticks, or a number that cannot be told exactly."""


def to_price(ticks: int, tick_size: Decimal) -> Decimal:
    """The price of so many ticks, with the decimals of `tick_size`. Raises OffTickError beyond 28 digits."""
    _refuse_size(tick_size)
    try:
        return _EXACT.multiply(Decimal(ticks), tick_size)
    except (Inexact, InvalidOperation) as error:
        raise OffTickError(f"{ticks} ticks of {tick_size} have more than 28 digits") from error


def to_ticks(price: Decimal, tick_size: Decimal) -> int:
    """How many ticks make `price`. Raises OffTickError for a price that is no whole number of them."""
    _refuse_size(tick_size)
    try:
        ticks = _EXACT.divide(price, tick_size)
    except (Inexact, InvalidOperation):
        ticks = Decimal("NaN")
    if not ticks.is_finite() or ticks != ticks.to_integral_value():
        raise OffTickError(f"{price} is no whole number of ticks of {tick_size}")
    return int(ticks)


def _refuse_size(tick_size: Decimal) -> None:
    if not (tick_size.is_finite() and tick_size > 0):
        raise OffTickError(f"{tick_size} is no tick size")
