"""How a host asks its proxy whether files are good."""

from pathlib import Path

import pytest

from neargate.hostnet import proxy_process
from neargate.hostnet.namespaces import Namespaces
from neargate.hostnet.proxy_process import LinuxProxies


class Hanging(LinuxProxies):
    """Its proxy never ends to read."""

    def _unprivileged(self, eni_id: str) -> list[str]:
        return ["sh", "-c", "exec sleep 100"]


def test_a_proxy_that_never_ends_to_read_its_files_refuses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_process, "_CHECK_S", 0.05)
    proxies = Hanging(tmp_path, Namespaces(tmp_path, pytest.fail))
    assert proxies.faults("eni-1") == "it does not read its files within 0.05 seconds"
