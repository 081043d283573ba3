"""Endless real kills: every named point with every process, then every pair of points. `make soak`; Ctrl-C ends it.

`python -m tests.soak_kills POINT:PROCESS ...` runs just these kills, in a life of each shape.
"""

import itertools
import random
import sys
import traceback

from neargate.agent.points import Point
from neargate.cli.kill_points import VICTIMS

from .acceptance.killing import Killing, killing_region

Kill = tuple[str, str]
PROCESSES = [victim for victim in VICTIMS if victim != "images"]
LIVES = ("live_and_obey", "live_and_resist", "live_in_order")
OF_A_LIFE = [point.value for point in Point]


def live_through(killing: Killing, life: str, kills: tuple[Kill, ...]) -> list[str]:
    """One task's life under these kills; the kills that did not happen. AssertionError when anything is wrong."""
    killing.arm(*kills)
    try:
        getattr(killing, life)()
        killing.wait_clean()
    finally:
        left = killing.disarm()
    return left


def singles() -> list[tuple[Kill, ...]]:
    return [((point, victim),) for point in OF_A_LIFE for victim in PROCESSES]


def pairs(dice: random.Random) -> list[tuple[Kill, ...]]:
    """Every ordered pair of points (also the same twice: the repeat after a kill is killed), victims by the dice."""
    chosen = [
        ((first, dice.choice(PROCESSES)), (second, dice.choice(PROCESSES)))
        for first, second in itertools.product(OF_A_LIFE, repeat=2)
        if OF_A_LIFE.index(first) <= OF_A_LIFE.index(second)
    ]
    dice.shuffle(chosen)
    return chosen


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    given = tuple((word.partition(":")[0], word.partition(":")[2]) for word in arguments)
    failures = lives = 0
    with killing_region() as killing:
        for turn in itertools.count():
            plans = [given] * len(LIVES) if given else singles() if turn == 0 else pairs(random.Random(turn))
            for kills in plans:
                life = LIVES[lives % len(LIVES)]
                lives += 1
                words = f"{life} " + " ".join(":".join(kill) for kill in kills)
                try:
                    left = live_through(killing, life, kills)
                    say(f"{lives:6} ok      {words}{f' (not reached: {left})' if left else ''}")
                except Exception:  # whatever it is, the next kills are tried, and this one is printed
                    failures += 1
                    say(f"{lives:6} FAILED  {words}\n{traceback.format_exc()}")
                    killing.stop_everything()
            if given:
                break
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("stopped")
