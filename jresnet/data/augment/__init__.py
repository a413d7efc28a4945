"""Augmentations on the device."""
