"""Hugging Face's router: `GET /v1/models` with the hosts that serve each model; a pure reader of its JSON."""

from __future__ import annotations

from typing import Any

from functions.refresh.sources.listed import HostOffer, Pricing, ProviderModel, entries, known, price, read_each


def read(page: Any) -> list[ProviderModel]:
    """Models that at least one live host serves, text in and text out, in the router's own order."""
    return read_each(page["data"], _listed)


def _listed(entry: dict[str, Any]) -> ProviderModel | None:
    live = [host for host in entries(entry.get("providers") or []) if host.get("status") == "live"]
    inputs, outputs = _modalities(entry, "input_modalities"), _modalities(entry, "output_modalities")
    if not live or "text" not in inputs or "text" not in outputs:
        return None
    # The router picks the host, so a capability counts only when every live host has it.
    windows = [host["context_length"] for host in live if known(context_window=host.get("context_length"))]
    capabilities = known(
        context_window=min(windows, default=None),
        supports_vision="image" in inputs,
        supports_tools=_all(live, "supports_tools"),
        supports_json=_all(live, "supports_structured_output"),
    )
    offers = tuple(HostOffer(str(host.get("provider")), _pricing(host.get("pricing"))) for host in live)
    return ProviderModel(entry.get("id", ""), None, capabilities, offers=offers)


def _modalities(entry: dict[str, Any], kind: str) -> list[Any]:
    architecture = entry.get("architecture")
    values = architecture.get(kind) if isinstance(architecture, dict) else None
    return values if isinstance(values, list) else ["text"]


def _all(hosts: list[dict[str, Any]], ability: str) -> bool | None:
    values = [host.get(ability) for host in hosts]
    return all(values) if all(isinstance(each, bool) for each in values) else None


def _pricing(listed: Any) -> Pricing | None:
    if not isinstance(listed, dict):
        return None
    rates = {"input": price(listed.get("input")), "output": price(listed.get("output"))}
    # A listed price of zero counts as unknown: it would win every policy and count against no cap.
    return rates if None not in rates.values() and any(rates.values()) else None
