"""What the OCI runtimes say of a process that cannot start, in the one wording that users read."""

import pytest

from neargate.sandbox.sentences import as_runc

PREFIX = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process:"


@pytest.mark.parametrize(
    ("said", "program", "shown"),
    [
        (
            "executable file `web` not found in $PATH: No such file or directory: unknown",
            "web",
            'exec: "web": executable file not found in $PATH: unknown',
        ),
        (
            "executable file `/bin/web` not found in $PATH: No such file or directory: unknown",
            "/bin/web",
            'exec: "/bin/web": stat /bin/web: no such file or directory: unknown',
        ),
        ("open executable: Permission denied: unknown", "/web", 'exec: "/web": permission denied: unknown'),
        ("open executable: Operation not permitted: unknown", "/etc", 'exec: "/etc": permission denied: unknown'),
    ],
)
def test_crun_is_worded_as_runc(said: str, program: str, shown: str) -> None:
    assert as_runc(f"OCI runtime create failed: {said}", program) == f"{PREFIX} {shown}"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "executable file `web` not found in $PATH: No such file or directory: unknown",
            'exec: "web": executable file not found in $PATH: unknown',
        ),
        ("open executable: Permission denied: unknown", 'exec: "web": permission denied: unknown'),
    ],
)
def test_of_a_command_in_a_container_it_says_so(said: str, shown: str) -> None:
    words = "OCI runtime exec failed: exec failed: unable to start container process:"
    assert as_runc(f"OCI runtime exec failed: {said}", "web") == f"{words} {shown}"


def test_anything_else_stays_as_it_was_said() -> None:
    assert as_runc("chdir `/etc/passwd`: Not a directory", "web") == "chdir `/etc/passwd`: Not a directory"
