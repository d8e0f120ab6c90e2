"""Hands that sign and vouch: whose host key is pinned, and where."""
