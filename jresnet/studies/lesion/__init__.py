"""Lesions: blocks deleted from and swapped in trained nets."""
