"""What a target adds to the upstream."""

from __future__ import annotations

from bench.side_by_side import with_added


def test_added_latency_is_beside_the_upstream_itself() -> None:
    """The upstream has no row of its own; a target without a figure gets none."""
    found = with_added(
        {
            "upstream itself": {"latency_ms": 1.0, "first_ms": 51.0},
            "raw": {"latency_ms": 1.5, "first_ms": 52.0},
            "hello": {"latency_ms": 2.0},
        }
    )
    assert found == {
        "raw": {"latency_ms": 1.5, "first_ms": 52.0, "added_ms": 0.5, "added_first_ms": 1.0},
        "hello": {"latency_ms": 2.0, "added_ms": 1.0},
    }
