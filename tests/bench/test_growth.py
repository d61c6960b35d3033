"""The summary of a plan."""

from __future__ import annotations

from bench.growth import scans_of


def test_a_plan_is_its_scans() -> None:
    """Each scan has its index, else its table or function; joins and sorts are left out."""
    plan = {
        "Node Type": "Limit",
        "Plans": [
            {
                "Node Type": "Sort",
                "Plans": [
                    {"Node Type": "Index Scan", "Index Name": "chat_logs_pkey", "Relation Name": "chat_logs"},
                    {"Node Type": "Seq Scan", "Relation Name": "usage_daily"},
                    {"Node Type": "Function Scan", "Function Name": "my_limits"},
                ],
            }
        ],
    }
    assert scans_of(plan) == "Index Scan chat_logs_pkey, Seq Scan usage_daily, Function Scan my_limits"


def test_a_plan_without_scans_is_empty() -> None:
    """A result without a table has no scan."""
    assert scans_of({"Node Type": "Result"}) == ""
