"""Ingredients of recipes: their gains one by one and together."""
