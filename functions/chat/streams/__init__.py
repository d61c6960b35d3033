"""Events to bytes: what a caller sees of a turn."""
