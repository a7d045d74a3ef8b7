import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the same sums, bit for bit, and no threads fighting over two cores


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Tests neither use nor fill the user's cache."""
    if "T2I_CACHE" not in os.environ:
        os.environ["T2I_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _one_thread():
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
