"""Measurements on real and simulated data, one file per question; the tests run none of them."""
