"""Coverage-guided fuzzing of what reads foreign files: ``python -m tests.fuzz TARGET [--seconds 60]``."""
