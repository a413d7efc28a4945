"""Linen modules and published nets. Imports jax and flax only."""
