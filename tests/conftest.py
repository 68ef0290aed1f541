"""Settings that hold for every test."""

from hypothesis import settings

# how long an example takes depends on the machine: no test asserts a time
settings.register_profile("leuko", deadline=None)
settings.load_profile("leuko")
