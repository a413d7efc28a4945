"""Sensitivity: error against the learning rate and the depth."""
