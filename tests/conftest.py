"""What holds for all tests: none asserts how long anything takes, and hypothesis would, with 200 ms for an example."""

from hypothesis import settings

settings.register_profile("neargate", deadline=None)
settings.load_profile("neargate")
