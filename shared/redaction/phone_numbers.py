"""Validity of phone numbers by the numbering plans of `phonenumbers`.

Only `phone_shapes` imports this, when a text has a number in the grouping of a country.
"""

from __future__ import annotations

import functools

import phonenumbers


@functools.lru_cache(4096)
def is_valid(regions: tuple[str, ...], number: str) -> bool:
    """Whether one of these regions can have issued the number, which has no country code."""
    return any(_is_valid_in(region, number) for region in regions)


def _is_valid_in(region: str, number: str) -> bool:
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number_for_region(parsed, region) or (
        region == "US" and phonenumbers.is_valid_number(parsed)
    )
