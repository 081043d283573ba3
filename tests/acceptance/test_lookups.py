"""A name lookup in a task fails at once and as a temporary failure: there is no resolver yet, and none is waited for.

With the machine's own C library in the container, as most images have it, and with busybox's client.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from neargate.testing import oci_image
from neargate.testing.oci_image import Entry

from .region import LiveRegion

GETENT = "/usr/bin/getent"
PATIENCE_S = 4  # the C library itself waits 5 s before it asks a second time
# Each line is what a lookup ended with; 124 and 137 or 143 are those of a client that had to be stopped.
STORY = f"""
for name in example.com neargate.invalid localhost; do
  timeout -s KILL {PATIENCE_S} {GETENT} ahosts $name > /dev/null; echo "$name $?"
done
timeout -s KILL {PATIENCE_S} nslookup example.com 2>&1 | grep -q "no servers could be reached"; echo "silence $?"
"""


def libraries(program: str) -> list[str]:
    """Paths of what the loader would map for it, itself included."""
    shown = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [word for word in shown.split() if word.startswith("/")]


@pytest.mark.skipif(shutil.which("getent") is None, reason="needs getent of the C library")
def test_a_lookup_fails_at_once_and_is_no_refusal_of_the_name(region: LiveRegion) -> None:
    files = [GETENT, *libraries(GETENT)]
    folders = sorted({str(parent) for path in files for parent in Path(path).parents if parent != Path("/")})
    layer = oci_image.build_layer(
        [
            *(Entry(path=folder.lstrip("/")) for folder in folders),
            *(Entry(path=path.lstrip("/"), content=Path(path).read_bytes()) for path in files),
        ]
    )
    image = oci_image.build_image([oci_image.busybox_layer(), layer], config={"Env": ["PATH=/bin:/usr/bin"]})
    oci_image.push(region.registry, "getent", "1", image)
    lines = region.output({"image": f"{region.registry}/getent:1", "command": ["sh", "-c", STORY]})
    # 2: "one or more supplied keys could not be found", said by a client that had its answer.
    assert lines == ["example.com 2", "neargate.invalid 2", "localhost 0", "silence 1"]
