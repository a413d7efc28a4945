"""Why residual networks train: instruments over (function, variables, batch)."""
