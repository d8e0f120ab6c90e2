"""Where people look: pages made from values, self-contained."""
