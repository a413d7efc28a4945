"""The flow of the gradient to the first layers of plain and of residual nets."""
