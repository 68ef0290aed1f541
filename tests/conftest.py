"""Settings that hold for every test."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# how long an example takes depends on the machine: no test asserts a time
settings.register_profile("leuko", deadline=None)
settings.load_profile("leuko")
# --hypothesis-profile=emulated, where everything takes ten times as long
settings.register_profile(
    "emulated", deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the settings nor the state of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKO_HOME", str(tmp_path_factory.mktemp("home")))
        yield
