"""Hands that make: source model → artifacts; a worker process a conversion, cached by content."""
