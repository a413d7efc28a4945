"""Backpropagation by hand on a trained net, and the sum that a residual net is."""
