"""Encoders from the events of a turn to the bytes of a response."""
