"""Classified clips: nets that see motion, and controls that cannot."""
