"""fleet: choose by measurement, roll out with care, prove on the device, and remember."""

__version__ = "0.1.0"
