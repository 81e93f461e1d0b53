#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tests of tests/vm/run itself: what the tests that use it rely on. Boots a dozen guests."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from testvm.kernel_log import complaints

HERE = Path(__file__).resolve().parent
SKIP = 77
SECONDS = 120  # more than anything here takes on a busy machine, less than a guest that sleeps


def vm(*args: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([HERE / "run", *args], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, **options)


class CommandTest(unittest.TestCase):
    def test_status_output_and_surroundings_are_the_commands(self) -> None:
        env = dict(os.environ, LD_LIBRARY_PATH="/some where", SECRET="no")
        with tempfile.TemporaryDirectory(dir=HERE, prefix=".test-") as cwd:
            script = 'echo "$PWD|$LD_LIBRARY_PATH|$ASKED|$SECRET"; echo problem >&2; exit 42'
            result = vm("--env", "ASKED=a b'c", "sh", "-c", script, env=env, cwd=cwd)
            self.assertEqual(result.stdout, f"{cwd}|/some where|a b'c|\n")
        self.assertEqual(result.stderr, "problem\n")
        self.assertEqual(result.returncode, 42)

    def test_host_files_are_there_but_safe_and_out_is_shared(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            victim = Path(folder, "victim")
            victim.write_text("original")
            out = Path(folder, "o, u t")  # a comma means something to QEMU
            result = vm("--out", str(out), "sh", "-c",
                        f"cat {victim} && echo changed >{victim} && cat {victim} && "
                        'echo kept >"$VM_OUT/file"')
            self.assertEqual((result.stdout, result.returncode), ("originalchanged\n", 0),
                             result.stderr)
            self.assertEqual(victim.read_text(), "original")
            self.assertEqual((out / "file").read_text(), "kept\n")
            self.assertIn("Linux version", (out / "dmesg.log").read_text())

    def test_output_is_live_and_boot_is_quick(self) -> None:
        with subprocess.Popen([HERE / "run", "--verbose", "sh", "-c", "echo now; sleep 300"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stderr
            self.assertEqual(process.stdout.readline(), "now\n")
            # Here before its command ended: now it must take its QEMU along when told to stop.
            self.assertEqual(len(qemu_of(process.pid)), 1)
            qemu = qemu_of(process.pid)[0]
            boot_seconds = cpu_seconds(qemu)
            process.send_signal(signal.SIGTERM)
            stderr = process.stderr.read()
            self.assertEqual(process.wait(timeout=SECONDS), 130)
        self.assertFalse(is_alive(qemu), "QEMU survived its runner")
        self.assertRegex(stderr, r"ready after [\d.]+ s")
        # Processor time: what else the machine is doing is not the VM's fault.
        self.assertLess(boot_seconds, 30.0)

    def test_qemu_does_not_survive_a_killed_runner(self) -> None:
        with subprocess.Popen([HERE / "run", "sh", "-c", "echo now; sleep 300"],
                              stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            self.assertEqual(process.stdout.readline(), "now\n")
            qemu = qemu_of(process.pid)[0]
            process.kill()
        deadline = time.monotonic() + SECONDS
        while is_alive(qemu) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertFalse(is_alive(qemu), "QEMU survived its runner")


class TroubleTest(unittest.TestCase):
    WARN = 'echo "<4>WARNING: CPU: 0 PID: 1 at a/test.c:1" >/dev/kmsg; exit '

    def test_deadline(self) -> None:
        for seconds in "8", "0.5":  # while the command runs, and while the guest boots
            start = time.monotonic()
            result = vm("--timeout", seconds, "sleep", "300")
            self.assertEqual(result.returncode, 124, result.stderr)
            self.assertIn("'sleep' exceeded", result.stderr)
            self.assertLess(time.monotonic() - start, SECONDS)

    def test_kernel_warning_fails_a_passing_command(self) -> None:
        result = vm("sh", "-c", self.WARN + "0")
        self.assertEqual(result.returncode, 123)
        self.assertIn("a/test.c:1", result.stderr)

    def test_kernel_warning_leaves_a_failing_command_alone(self) -> None:
        self.assertEqual(vm("sh", "-c", self.WARN + "3").returncode, 3)

    def test_allowed_kernel_warning(self) -> None:
        result = vm("--allow-log", r"a/test\.c", "sh", "-c", self.WARN + "0")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_panic(self) -> None:
        result = vm("sh", "-c", "echo c >/proc/sysrq-trigger; sleep 300")
        self.assertEqual(result.returncode, 125)
        self.assertIn("the guest died", result.stderr)
        self.assertIn("Kernel panic", result.stderr)

    def test_hung_boot_is_tried_twice(self) -> None:
        result = vm("--accel", "tcg", "--boot-timeout", "0.5", "true")
        self.assertEqual(result.returncode, 125)
        self.assertIn("RIP=", result.stderr)
        self.assertEqual(result.stderr.count("the boot hung; trying once more"), 1)
        self.assertIn("did not start: not up after 1 s", result.stderr)

    def test_profile_that_cannot_be_set_up(self) -> None:
        result = vm("--profile", "vdpa", "--append", "module_blacklist=vhost_vdpa", "true")
        self.assertEqual(result.returncode, 125)
        self.assertIn("profile vdpa", result.stderr)

    def test_background_processes_do_not_hold_the_guest(self) -> None:
        start = time.monotonic()
        result = vm("sh", "-c", "sleep 300 & echo started")
        self.assertEqual((result.stdout, result.returncode), ("started\n", 0))
        self.assertLess(time.monotonic() - start, SECONDS)


class MachineTest(unittest.TestCase):
    def test_options_change_the_machine(self) -> None:
        result = vm("--cpus", "1", "--memory", "512M", "--append", "test.of=append",
                    "--qemu", "-device virtio-rng-pci,id=extra",
                    "sh", "-c", "nproc; grep MemTotal /proc/meminfo; cat /proc/cmdline; "
                    "grep -l 0x1005 /sys/bus/pci/devices/*/device")  # virtio-rng
        cpus, memory, rest = result.stdout.split("\n", 2)
        self.assertEqual(cpus, "1")
        self.assertLess(int(memory.split()[1]), 512 * 1024)
        self.assertIn("test.of=append", rest)
        self.assertIn("/sys/bus/pci/devices/", rest)


class UsageTest(unittest.TestCase):
    def test_unknown_profile(self) -> None:
        result = vm("--profile", "floppy", "true")
        self.assertEqual(result.returncode, 2)
        self.assertIn("no profile 'floppy'; there are: plain, viommu", result.stderr)

    def test_no_command(self) -> None:
        result = vm("--profile", "plain")
        self.assertEqual(result.returncode, 2)
        self.assertIn("give either a command or --shell", result.stderr)

    def test_qemu_missing(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("dirname", "readlink"):  # with which the runner finds Python
                os.symlink(shutil.which(name), Path(folder) / name)
            result = vm("true", env={"PATH": folder})
        self.assertEqual(result.returncode, SKIP)
        self.assertIn("qemu-system-x86_64 is missing; run tests/vm/setup", result.stderr)


class KernelLogTest(unittest.TestCase):
    def test_complaints(self) -> None:
        for line in (
                "<4>[    1.234567] WARNING: CPU: 1 PID: 7 at block/blk-mq.c:1 x+0x1/0x2",
                "[    1.234567] WARNING: CPU: 1 PID: 7 at block/blk-mq.c:1 x+0x1/0x2",
                "<3>[   12.345678][  T123] BUG: KASAN: use-after-free in x+0x1/0x2",
                "[   12.345678] UBSAN: shift-out-of-bounds in a.c:1:2",
                "[   12.345678] BUG: unable to handle page fault for address: 0",
                "[   12.345678] Oops: 0000 [#1] PREEMPT SMP NOPTI",
                "[  242.345678] INFO: task fio:77 blocked for more than 120 seconds.",
                "[    2.345678] refcount_t: underflow; use-after-free.",
                "[    2.345678] DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x0"):
            self.assertEqual(complaints(line), [line])

    def test_harmless_lines(self) -> None:
        self.assertEqual(complaints("""\
<6>[    0.000000] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on
<6>[    0.000000] debug: KASAN is off
<6>[    0.000000] DMAR: IOMMU enabled
<3>[    0.000000] rcu: INFO: rcu_preempt self-detected stall on CPU
<4>[    0.000000] clocksource: timekeeping watchdog on CPU0: marking clocksource unstable
"""), [])


def qemu_of(runner: int) -> list[int]:
    """The process ids of the runner's children."""
    children = Path(f"/proc/{runner}/task/{runner}/children").read_text()
    return [int(pid) for pid in children.split()]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def main() -> None:
    # Without the VM there is nothing to test, but a reason to tell.
    probe = vm("true")
    if probe.returncode == SKIP:
        print(probe.stderr, end="")
        sys.exit(SKIP)
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
