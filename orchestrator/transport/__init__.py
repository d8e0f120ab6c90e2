"""Hands that reach: one small protocol for a session with a device, and who implements it."""
