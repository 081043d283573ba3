"""Real guests in an emulated QEMU that nothing confines, for tests of the engine alone. Machines have no network.

The monitor of production is sandbox/microvm/qemu.py; this one shows that the engine needs no more than the seam says.
"""

# ruff: noqa: ARG002, ASYNC230  the parameters are the seam's; files of a test are read as they come

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator

from ..sandbox.microvm.greeting import dial
from ..sandbox.microvm.vmm import MachineEnd, MachineGone, MachineRefused, MachineSpec, MachineState, VmmFacts

SOCKET = "guest.sock"
_OVERHEAD_MIB = 200  # the emulator's own translations among it
_CONSOLE_MAX = 4096


class PlainVmm:
    """Implements sandbox.microvm.vmm.Vmm, but for snapshots. It outlives the agents of a test. `tsc_khz`: of the host."""

    def __init__(self, tsc_khz: int) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._specs: dict[str, MachineSpec] = {}
        self._tsc_khz = tsc_khz

    async def probe(self) -> VmmFacts:
        return VmmFacts(
            version="plain",
            kvm_refusal="It is never used.",
            emulation_refusal=None,
            tsc_khz=self._tsc_khz,
            overhead_mib=_OVERHEAD_MIB,
            has_snapshots=False,
        )

    async def start(self) -> None:
        """All machines are this object's."""

    async def create(self, spec: MachineSpec, tap: int | None) -> None:
        if spec.machine_id in self.processes:
            return
        os.makedirs(spec.directory, mode=0o700, exist_ok=True)
        with open(os.path.join(spec.directory, "said"), "wb") as said:
            process = subprocess.Popen(
                self._command(spec), stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
        self.processes[spec.machine_id] = process
        self._specs[spec.machine_id] = spec
        while not os.path.exists(os.path.join(spec.directory, SOCKET)):
            if process.poll() is not None:
                raise MachineRefused(await self.console(spec.machine_id))
            await asyncio.sleep(0.01)

    def _command(self, spec: MachineSpec) -> list[str]:
        kernel = (
            f"console=ttyS0 quiet tsc_early_khz={self._tsc_khz} no_timer_check panic=-1 nr_cpus={spec.vcpus} "
            "nowatchdog audit=0"
        )
        options = f"""
            -M microvm,x-option-roms=off -accel tcg,thread=multi,tb-size=128 -cpu max -m {spec.memory_mib}
            -smp {spec.vcpus} -nodefaults -no-user-config -display none -no-reboot
            -serial file:{spec.directory}/console
            -kernel {spec.kernel} -initrd {spec.initramfs}
            -chardev socket,id=agent,path={spec.directory}/{SOCKET},server=on,wait=off
            -device virtio-serial-device,max_ports=4 -device virtserialport,chardev=agent,name=agent
            -device virtio-rng-device
            -drive if=none,id=tools,format=raw,readonly=on,file={spec.tools}
            -device virtio-blk-device,drive=tools,serial=tools
        """.split()
        for disk in spec.disks:
            access = "readonly=on" if disk.read_only else "discard=unmap"
            options += ["-drive", f"if=none,id={disk.serial},format=raw,{access},file={disk.path}"]
            options += ["-device", f"virtio-blk-device,drive={disk.serial},serial={disk.serial}"]
        return ["qemu-system-x86_64", *options, "-append", kernel]

    async def restore(self, spec: MachineSpec, tap: int | None, snapshot: str) -> None:
        raise MachineRefused("The plain monitor restores nothing.")

    async def snapshot_key(self, spec: MachineSpec) -> str:
        return "plain"

    async def snapshot(self, machine_id: str, directory: str) -> None:
        raise MachineRefused("The plain monitor saves nothing.")

    async def pause(self, machine_id: str) -> None:
        raise MachineGone(f"Machine {machine_id} cannot be paused.")

    async def resume(self, machine_id: str) -> None:
        raise MachineGone(f"Machine {machine_id} cannot be resumed.")

    async def destroy(self, machine_id: str) -> None:
        process = self.processes.pop(machine_id, None)
        if process is None:
            return
        process.kill()
        process.wait()
        shutil.rmtree(self._specs[machine_id].directory, ignore_errors=True)

    async def list_machines(self) -> list[MachineState]:
        return [
            MachineState(machine_id=name, pid=process.pid if process.poll() is None else 0)
            for name, process in self.processes.items()
        ]

    async def connect(self, machine_id: str) -> socket.socket:
        if machine_id not in self.processes or self.processes[machine_id].poll() is not None:
            raise MachineGone(f"There is no machine {machine_id}.")
        return dial(self._specs[machine_id].directory, SOCKET)

    async def console(self, machine_id: str) -> str:
        found = ""
        for name in ("said", "console"):
            try:
                with open(os.path.join(self._specs[machine_id].directory, name), errors="replace") as file:
                    found += file.read()
            except (FileNotFoundError, KeyError):
                pass
        return found[-_CONSOLE_MAX:]

    async def ended(self) -> AsyncIterator[MachineEnd]:
        told: set[int] = set()
        while True:
            for name, process in list(self.processes.items()):
                if process.poll() is not None and process.pid not in told:
                    told.add(process.pid)
                    yield MachineEnd(machine_id=name, kind="killed", detail=f"status {process.returncode}")
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Machines run on."""
