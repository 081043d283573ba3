"""Files that are mounted over paths of an image: real containers, honest images and hostile ones.

Whatever the image has there, nothing outside the container is made or changed; what cannot be is said in a sentence.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.interfaces.sandbox import BindMount, ContainerConfig, SandboxError
from neargate.model.launch import Tmpfs
from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import Entry, build_image, build_layer, busybox_layer

from .engine_waits import stopped

pytestmark = pytest.mark.root

TEXT = "the text of the file\n"


def given(rig: ContainerRig, target: str, *, is_private: bool = False) -> BindMount:
    """As the agent makes it: a file of root's own."""
    source = Path(rig.made("given")) / target.replace("/", "-")
    source.unlink(missing_ok=True)
    source.write_text(TEXT)
    source.chmod(0o400 if is_private else 0o644)
    return BindMount(source=str(source), target=target, read_only=True, is_data=True, is_private=is_private)


def image(rig: ContainerRig, name: str, *entries: Entry) -> str:
    return rig.push(name, build_image([busybox_layer(), build_layer(entries)]))


def inside(rig: ContainerRig, reference: str, script: str, *mounts: BindMount, **fields: Any) -> str:
    """What a shell script prints. Raises SandboxError when the container cannot be made."""

    async def story(engine: ContainerdSandbox) -> str:
        config = rig.config(await rig.pull(engine, reference), "sh", "-c", script, mounts=mounts, **fields)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        state = await stopped(engine, config.runtime_id)
        await engine.delete_container(config.runtime_id)
        assert state.exit_code == 0, rig.log(config)
        return rig.log(config)

    return rig.run(story)


def refusal(rig: ContainerRig, reference: str, *mounts: BindMount) -> str:
    with pytest.raises(SandboxError) as caught:
        inside(rig, reference, "true", *mounts)
    return caught.value.reason


SEEN = 'cat $1; stat -c "%a %u:%g" $1; (echo x > $1) 2>&1; rm $1 2>&1; mv /etc/passwd $1 2>&1; true'


def test_a_secret_is_its_containers_users_alone(rig: ContainerRig, reference: str) -> None:
    """Parents are made, also where the root is read-only; nobody may change, remove or replace it."""
    secret = given(rig, "/run/secrets/deep/key", is_private=True)
    for user, owner, readonly_root in (("1234:77", "1234:77", True), ("root", "0:0", False)):
        script = f"set -- {secret.target}\n{SEEN}"
        said = inside(rig, reference, script, secret, user=user, readonly_root=readonly_root).splitlines()
        assert said[:2] == [TEXT.strip(), f"400 {owner}"]
        assert len(said) == 5 and all(any(why in line for why in ("ead-only", "busy", "denied")) for line in said[2:])
        assert Path(secret.source).read_text() == TEXT
    other = inside(rig, reference, f"cat {secret.target} 2>&1 || su -s /bin/sh nobody -c id", secret, user="1234")
    assert other == TEXT, "it follows the user of the container that is made"


def test_another_user_of_the_container_does_not_read_it(rig: ContainerRig, reference: str) -> None:
    secret, plain = given(rig, "/etc/key", is_private=True), given(rig, "/etc/plain")
    script = "su -s /bin/sh nobody -c 'cat /etc/plain; cat /etc/key' 2>&1; true"
    passwd = image(rig, "users", Entry(path="etc/passwd", content=b"root:x:0:0::/:/bin/sh\nnobody:x:9:9::/:/bin/sh\n"))
    said = inside(rig, passwd, script, secret, plain).splitlines()
    assert said[0] == TEXT.strip() and "ermission denied" in said[1] and len(said) == 2


def test_it_is_no_device_no_program_and_of_no_set_user_id(rig: ContainerRig, reference: str) -> None:
    said = inside(rig, reference, "grep ' /etc/plain ' /proc/self/mountinfo", given(rig, "/etc/plain"))
    options = said.split()[5].split(",")
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options)


def test_a_file_of_the_image_is_covered_and_kept(rig: ContainerRig) -> None:
    reference = image(rig, "covered", Entry(path="etc/app.ini", content=b"the image's\n", mode=0o644))
    assert inside(rig, reference, "cat /etc/app.ini", given(rig, "/etc/app.ini")) == TEXT
    assert inside(rig, reference, "cat /etc/app.ini") == "the image's\n"


def test_symlinks_of_the_image_end_inside_the_container(rig: ContainerRig) -> None:
    outside = rig.made("outside")
    climbing = "../" * 12 + outside.lstrip("/")
    reference = image(
        rig,
        "links",
        Entry(path="run"),
        Entry(path=outside.lstrip("/")),
        Entry(path="var/run", target="/run"),
        Entry(path="etc/absolute", target=outside),
        Entry(path="etc/climbing", target=climbing),
        Entry(path="etc/file", target=f"{outside}/file"),
    )
    targets = ("/var/run/app/key", "/etc/absolute/key", "/etc/climbing/other")
    script = f"cat {' '.join(targets)}; ls /run/app {outside}"
    said = inside(rig, reference, script, *(given(rig, target, is_private=True) for target in targets))
    assert said.count(TEXT) == 3 and said.splitlines()[3:] == ["/run/app:", "key", "", f"{outside}:", "key", "other"]
    assert "file: File exists" in refusal(rig, reference, given(rig, "/etc/file")), "a symlink that leads nowhere"
    assert os.listdir(outside) == []


def test_symlinks_that_climb_one_after_the_other_are_followed(rig: ContainerRig) -> None:
    """As in images of distributions, where a directory's old name leads to one that moved itself."""
    reference = image(
        rig,
        "climbing",
        Entry(path="run/app"),
        Entry(path="var/run", target="../run"),
        Entry(path="etc/one", target="../var/two"),
        Entry(path="var/two", target="../var/run/app/../app"),
    )
    assert inside(rig, reference, "cat /run/app/key", given(rig, "/etc/one/key")) == TEXT


@pytest.mark.parametrize("target", ["/etc/self/status", "/etc/null", "/var/sys/x", "/etc/two/uptime"])
def test_nothing_is_put_into_a_file_system_of_the_kernels(rig: ContainerRig, target: str) -> None:
    reference = image(
        rig,
        "kernels",
        Entry(path="proc/self/status", content=b""),
        Entry(path="dev/null", content=b""),
        Entry(path="sys"),
        Entry(path="proc/uptime", content=b""),
        Entry(path="etc/self", target="/proc/self"),
        Entry(path="etc/null", target="/dev/null"),
        Entry(path="var/sys", target="../sys"),
        Entry(path="etc/one", target="/proc"),
        Entry(path="etc/two", target="one"),
    )
    reason = refusal(rig, reference, given(rig, target))
    assert f"error preparing rootfs: {target}: it leads to /proc, /sys or /dev" in reason


def test_a_directory_of_the_image_is_no_place_for_a_file(rig: ContainerRig) -> None:
    reference = image(rig, "directory", Entry(path="etc/app"), Entry(path="etc/link", target="app"))
    for target in ("/etc/app", "/etc/link"):
        assert f"{target}: Is a directory" in refusal(rig, reference, given(rig, target))
    assert "etc/passwd: Not a directory" in refusal(rig, reference, given(rig, "/etc/passwd/x"))


def test_a_path_through_a_volume_makes_nothing_outside_it(rig: ContainerRig, reference: str) -> None:
    """The other containers of the volume plant what they like in it."""
    outside, volume = rig.made("outside-volume"), Path(rig.made("volume"))
    (volume / "absolute").symlink_to(outside)
    (volume / "climbing").symlink_to("../" * 12 + outside.lstrip("/"))
    mounted = BindMount(source=str(volume), target="/data")
    for way in ("absolute", "climbing"):
        target = f"/data/{way}/planted"
        try:
            said = inside(rig, reference, f"cat {outside}/planted", mounted, given(rig, target))
        except SandboxError:
            continue  # the runtime may refuse it
        assert said == TEXT, "inside the container it is where the symlink leads"
    assert os.listdir(outside) == []


def test_it_lies_in_a_tmpfs_and_is_there_again_when_the_container_begins_again(
    rig: ContainerRig, reference: str
) -> None:
    secret = given(rig, "/run/key", is_private=True)

    async def story(engine: ContainerdSandbox) -> None:
        config: ContainerConfig = rig.config(
            await rig.pull(engine, reference),
            *("sh", "-c", "cat /run/key; touch /run/other"),
            mounts=(secret,),
            tmpfs=(Tmpfs(container_path="/run", size_mib=1),),
            readonly_root=True,
        )
        config = replace(config, may_restart=True)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        await stopped(engine, config.runtime_id)
        await engine.restart_container(config.runtime_id)
        state = await stopped(engine, config.runtime_id)
        assert (state.exit_code, rig.log(config)) == (0, TEXT * 2)
        await engine.delete_container(config.runtime_id)

    rig.run(story)
