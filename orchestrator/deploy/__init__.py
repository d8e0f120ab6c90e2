"""Hands that change: the device's own script and its verbs, probes, one step on one device, waves."""
