"""How many calls may be under way at once, so that what was admitted is answered soon and no account starves another.

Pure counting in memory: every call that passed its signature holds a place until it is answered. An account may hold
as many places as are free: alone it gets half of all, two greedy ones a third each, and one that has none under way
always finds a place. Invariant: never more than `places` calls are under way.
"""


class Admission:
    def __init__(self, places: int) -> None:
        self._places = places
        self._under_way = 0
        self._of: dict[str, int] = {}  # accounts with calls under way: never more than there are places

    def enter(self, account: str) -> bool:
        """Whether the call may go on; then `leave` must follow."""
        mine = self._of.get(account, 0)
        if mine >= self._places - self._under_way:
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
