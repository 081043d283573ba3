"""Which images' disks go when room is short, and what one is bounded by."""

import asyncio
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from neargate.model.knobs import Knobs
from neargate.sandbox.containerd_client import Containerd
from neargate.sandbox.microvm.image_disks import ImageDisks, KeptDisk, least_used, open_shared
from neargate.sandbox.microvm.packing import bounds
from neargate.sandbox.rootfs import Views
from neargate.world import OsWorld

MIB = 1 << 20
KEPT = st.builds(
    KeptDisk,
    path=st.text("abc", min_size=1, max_size=3),
    digest=st.sampled_from(["d1", "d2", "d3", "d4"]),
    used_at=st.floats(0, 1000),
)


@given(st.lists(KEPT), st.frozensets(st.sampled_from(["d1", "d2", "d3"])), st.floats(0, 1000))
def test_the_least_recently_used_goes_first_and_the_needed_never(
    disks: list[KeptDisk], spared: frozenset[str], before: float
) -> None:
    order = least_used(disks, spared, before)
    assert all(disk.digest not in spared and disk.used_at < before for disk in order)
    assert [disk.used_at for disk in order] == sorted(disk.used_at for disk in order)
    assert len(order) == sum(disk.digest not in spared and disk.used_at < before for disk in disks)


def test_a_disk_may_be_a_little_larger_than_its_image_says() -> None:
    assert bounds(0, 1.25, 100, 5.0).size_bytes == 64 * MIB
    assert bounds(1000 * MIB, 1.25, 100, 5.0).size_bytes == 1314 * MIB
    assert bounds(0, 1.25, 100, 5.0).memory_bytes == 100 * MIB


def test_only_as_many_go_as_give_enough_room(tmp_path: Path) -> None:
    world = OsWorld()
    knobs = Knobs(image_free_low_fraction=0.5, image_free_goal_fraction=0.69)
    disks = ImageDisks(
        world,
        views=Views(Containerd("/nowhere", "test")),
        directory=str(tmp_path),
        knobs=knobs,
        free=lambda directory: 1.0 - 0.1 * len(list(Path(directory).glob("*.erofs"))),
    )
    for number in range(6):
        path = tmp_path / f"sha256-{number:064x}.1abc.erofs"
        path.touch()
        used = world.now() - knobs.image_spared_s - 60 + number
        os.utime(path, (used, used))
    (tmp_path / "something.else").touch()
    lock = open_shared(str(tmp_path / f"sha256-{0:064x}.1abc.erofs"))
    gone = asyncio.run(disks.collect(frozenset({f"sha256:{1:064x}"})))
    os.close(lock)
    # 0 is read by somebody, 1 is spared; three leave 0.7 free.
    assert gone == tuple(f"sha256:{number:064x}" for number in (2, 3, 4))
    assert len(list(tmp_path.iterdir())) == 4
    assert asyncio.run(disks.collect(frozenset())) == (), "there is room enough"
