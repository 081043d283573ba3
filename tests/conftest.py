"""What holds for all tests: none asserts how long anything takes, and hypothesis would, with 200 ms for an example.

Modules and the tests themselves, once collected, are no garbage: a rig that dies looks for some (`CellRig.kill`), and
took a second each time for the half million objects of a whole run.
"""

import gc

from hypothesis import settings

settings.register_profile("neargate", deadline=None)
settings.load_profile("neargate")


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
