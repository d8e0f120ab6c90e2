"""What shall happen: observations, drift, plans, waves, gates and outcomes. Pure."""
