"""How fast: nets of this package and of others, timed side by side."""
