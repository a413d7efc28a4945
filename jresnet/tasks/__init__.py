"""Objectives: what is minimised and what is measured."""
