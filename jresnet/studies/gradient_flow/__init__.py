"""How the gradient reaches the first layers of plain and of residual nets."""
