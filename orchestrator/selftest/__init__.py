"""Hands that test a device's own hands: faults on purpose, an invariant, a report."""
