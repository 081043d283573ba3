"""The search for words finds them wherever they lie, and reads no holes."""

import os
import subprocess
from pathlib import Path

from neargate.testing.word_search import files_with, words_in, words_in_memory

PIECE = 1 << 20
WORDS = ("word-one", "word-two", "other")


def test_a_word_over_the_border_of_two_pieces_and_at_a_files_end_is_found(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\0" * (PIECE - 3) + b"word-one" + b"\0" * PIECE + b"word-two")
    assert words_in(file, WORDS) == {"word-one", "word-two"}
    assert words_in(file, ["word-two"]) == {"word-two"}


def test_a_word_behind_a_large_hole_is_found(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"other")
    assert words_in(tmp_path / "file", WORDS) == {"other"}


def test_files_are_told_of_with_what_they_have_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "has").write_text("word-one and other")
    (tmp_path / "none").write_text("word-three")
    (tmp_path / "link").symlink_to("below/has")
    assert files_with((tmp_path,), WORDS) == {tmp_path / "below" / "has": {"word-one", "other"}}
    assert words_in(tmp_path / "absent", WORDS) == set()


def test_words_are_found_in_a_process() -> None:
    has, has_not = ("word-" + os.urandom(16).hex() for _ in range(2))
    process = subprocess.Popen(["sleep", "100"], env={"PATH": os.defpath, "HAS": has})
    try:
        assert words_in_memory(process.pid, (has, has_not)) == {has}
    finally:
        process.kill()
        process.wait()
