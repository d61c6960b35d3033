"""Measures speed and size, each beside a reference from the same run. Compare ratios, not absolute values."""
