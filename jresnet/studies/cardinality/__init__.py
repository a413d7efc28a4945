"""Cardinality: many narrow paths against few wide ones at equal cost."""
