"""A walk-through that runs is the document: blocks are found, and only ids and times may differ."""

import os
from pathlib import Path

import pytest

from neargate.testing.walkthrough import Broken, Names, NotAWalkthrough, Step, run, steps

DOCUMENT = """
Say it:
```sh
who=$(echo you)
```
Then
```sh
echo hello $who
ls /nowhere-at-all
```
and it prints
```text
hello you
```
"""
TASK = "296734442c4e1db4703d9265c6e90834"
OTHER = "b3c33aaaf22fe4bbb378439743ad2a03"


def test_blocks_with_what_they_print() -> None:
    assert steps(DOCUMENT) == [
        Step(line=3, commands="who=$(echo you)\n", printed=""),
        Step(line=7, commands="echo hello $who\nls /nowhere-at-all\n", printed="hello you\n"),
    ]


@pytest.mark.parametrize("document", ["```text\nhello\n```\n", DOCUMENT + "```text\nagain\n```\n"])
def test_an_output_without_a_shell_block_is_no_walkthrough(document: str) -> None:
    with pytest.raises(NotAWalkthrough):
        steps(document)


def test_one_shell_runs_them_and_errors_are_printed_too(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    walk = steps(DOCUMENT)
    first, second = run(walk, tmp_path, cwd=tmp_path, environment=environment, timeout_s=30.0, strict=False)
    assert first == ""
    assert second.startswith("hello you\nls: ")
    with pytest.raises(Broken, match=r"line 7 was the last one:\nhello you\nls: "):
        run(walk, tmp_path, cwd=tmp_path, environment=environment, timeout_s=30.0, strict=True)


def test_nothing_is_left_in_the_background(tmp_path: Path) -> None:
    """At once: whoever still held the pipe open would make the read say that there is nothing yet."""
    os.mkfifo(tmp_path / "alive")
    reader = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    walk = steps("```sh\nexec 5> alive\nsleep 600 &\n```\n")
    assert run(walk, tmp_path, cwd=tmp_path, environment={"PATH": "/usr/bin:/bin"}, timeout_s=30.0, strict=True) == [""]
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (f"task/{TASK}", f"task/{OTHER}"),
        (f"{TASK} {OTHER} {TASK}", f"{OTHER} {TASK} {OTHER}"),
        ("AROAK2NI4LICEJBJSPB6T:me", "AROACJMPUANRB4DDWJTXT:me"),
        ("at 2026-11-22T05:27:56Z", "at 2031-01-02T23:59:00Z"),
        ("throttled 5 times", "throttled 12 times"),
    ],
)
def test_ids_and_times_are_compared_by_their_form(written: str, printed: str) -> None:
    assert Names().plain(written) == Names().plain(printed)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (f"task/{TASK}", f"task/{TASK[1:]}"),
        (f"task/{TASK}", f"task/{TASK.upper()}"),
        (f"{TASK} {TASK}", f"{TASK} {OTHER}"),
        (f"{TASK} {OTHER}", f"{TASK} {TASK}"),
        ("AROAK2NI4LICEJBJSPB6T", "AIDAK2NI4LICEJBJSPB6T"),
        ("AROAK2NI4LICEJBJSPB6T", "AROAK2NI4LICEJBJSPB6"),
        ("sg-07b04aefb505006db", "vpc-07b04aefb505006db"),
        ("sg-07b04aefb505006db", "sgr-07b04aefb505006db"),
        ("rtb-07b04aefb505006db: local", "rtb-07b04aefb505006d: local"),
        ("AKIAM5DVJGP7CMWHHIJA", "M5DVJGP7CMWHHIJAAKIA"),
        ("subnet-00e18af026840c0b2", "subnet-00e18af026840c0b2a"),
        ("at 2026-11-22T05:27:56Z", "at 1795325276"),
        ("throttled 5 times", "throttled 0 times"),
        ("RUNNING", "PENDING"),
    ],
)
def test_all_else_is_compared_to_the_letter(written: str, printed: str) -> None:
    assert Names().plain(written) != Names().plain(printed)


def test_an_id_is_the_same_one_in_later_blocks() -> None:
    written, printed = Names(), Names()
    assert written.plain(TASK) == printed.plain(OTHER)
    assert written.plain(TASK) != printed.plain(TASK)


@pytest.mark.parametrize("kind", ["vpc", "subnet", "sg", "sgr", "eni", "rtb", "acl", "igw", "nat", "eipalloc"])
def test_an_id_of_the_network_is_compared_by_its_form(kind: str) -> None:
    written, printed = f"{kind}-07b04aefb505006db: 0.0.0.0/0", f"{kind}-0e86f0cbe9ce688a5: 0.0.0.0/0"
    assert Names().plain(written) == Names().plain(printed) == f"<{kind} 1>: 0.0.0.0/0"
