"""Checks of a set of labelled crops, one module per question."""
