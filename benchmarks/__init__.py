"""Measurements on real and simulated data, one file a question; none of them runs in the tests."""
