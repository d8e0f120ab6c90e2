"""What exists: devices, groups, profiles, facts, and the selection of some of them. Pure."""
