"""EC2's errors of managed prefix lists: its codes and texts. No decisions."""

from ....model.errors import AwsError


class VersionMismatch(AwsError):
    code = "PrefixListVersionMismatch"

    def __init__(self) -> None:
        super().__init__("The prefix list has the incorrect version number.")


class MaxEntriesExceeded(AwsError):
    code = "PrefixListMaxEntriesExceeded"

    def __init__(self) -> None:
        super().__init__("You've reached the maximum number of entries for the prefix list.")


class ModificationInvalid(AwsError):
    code = "InvalidPrefixListModification"


class PrefixListLimitExceeded(AwsError):
    code = "PrefixListLimitExceeded"

    def __init__(self) -> None:
        super().__init__("You've reached the limit on the number of prefix lists that you can create.")
