"""The gallery: all studies on one page."""
