"""Turns that go on without their client: kept in pieces, followed and stopped by other requests."""
