"""How many calls may be under way at once, so that what was admitted is answered soon and no account starves another.

Pure counting in memory: every call that passed its signature holds a place until it is answered. An account may hold
as many places as are free, so that one alone gets half of them and two greedy ones a third each; an eighth is kept for
accounts that have no call under way. Invariant: never more than `places` calls are under way.
"""


class Admission:
    def __init__(self, places: int) -> None:
        self._places = places
        self._kept = places // 8
        self._under_way = 0
        self._of: dict[str, int] = {}  # accounts with calls under way: never more than there are places

    def enter(self, account: str) -> bool:
        """Whether the call may go on; then `leave` must follow."""
        mine = self._of.get(account, 0)
        free = self._places - self._under_way
        if free <= 0 or (mine and mine >= free - self._kept):
            return False
        self._of[account] = mine + 1
        self._under_way += 1
        return True

    def leave(self, account: str) -> None:
        self._under_way -= 1
        left = self._of[account] - 1
        if left:
            self._of[account] = left
        else:
            del self._of[account]

    @property
    def under_way(self) -> int:
        return self._under_way
