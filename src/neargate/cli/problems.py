"""What a command cannot do and how its user mends it: printed as one line, never as a stack."""


class Problem(Exception):
    """The text says what is wrong, where, and what to type."""


class NoServer(Problem):
    """The region's server does not run or does not answer; what is known without it may be added."""
