"""Measures speed and size, each figure beside its reference from the same run. Trust ratios, not absolute values."""
