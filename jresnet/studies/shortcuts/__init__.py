"""Variants of the shortcut, and orders of norm and activation."""
