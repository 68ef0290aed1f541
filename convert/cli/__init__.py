"""Commands of the converter, one per module."""
