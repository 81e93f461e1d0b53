#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What qualify reads of a disk's health: NVMe logs and smartctl's JSON, and what it means."""

from __future__ import annotations

import dataclasses
import shutil
import unittest
from typing import Any
from unittest import mock

from support import main
from test_qualify_parts import device, good
from benchlib.qualify import health, nvme_admin, preflight, smartctl, verdict
from benchlib.qualify.model import Health


class NvmeLogs(unittest.TestCase):
    def test_smart(self) -> None:
        log = bytearray(512)
        log[0], log[3], log[4], log[5] = 0b101, 97, 10, 3
        log[1:3] = (273 + 41).to_bytes(2, "little")
        for offset, value in ((32, 2), (48, 3), (112, 11), (128, 1 << 70), (144, 5), (160, 7),
                              (176, 9)):
            log[offset:offset + 16] = value.to_bytes(16, "little")
        log[192:196], log[196:200] = (2).to_bytes(4, "little"), (1).to_bytes(4, "little")
        self.assertEqual(nvme_admin.parse_smart(bytes(log)), nvme_admin.Smart(
            critical_warning=5, temperature_c=41, spare=97, spare_threshold=10, percentage_used=3,
            data_read=1024000, data_written=1536000, power_cycles=11, power_on_hours=1 << 70,
            unsafe_shutdowns=5, media_errors=7, error_log_entries=9, throttled_seconds=180))
        self.assertEqual(nvme_admin.warnings(5), ["spare below its threshold",
                                                  "reliability degraded"])

    def test_controller(self) -> None:
        data = bytearray(4096)
        data[4:24], data[24:64] = b"SERIAL 1".ljust(20), b"Model of 40".ljust(40)
        data[64:72], data[266:268] = b"FW 2.0\0\0", (273 + 70).to_bytes(2, "little")
        self.assertEqual(nvme_admin.parse_controller(bytes(data)),
                         nvme_admin.Controller("Model of 40", "SERIAL 1", "FW 2.0", 70))
        self.assertIsNone(nvme_admin.parse_controller(bytes(4096)).warning_temperature_c)

    def test_the_command_has_the_kernel_s_layout(self) -> None:
        self.assertEqual(nvme_admin.COMMAND.size, 72)
        self.assertEqual(nvme_admin.ADMIN_CMD >> 16 & 0x3FFF, nvme_admin.COMMAND.size)

    def test_a_node_that_is_no_nvme(self) -> None:
        with self.assertRaises(OSError):
            nvme_admin.smart("/dev/null")


def attribute(number: int, name: str, raw: int, value: int = 100, failed: str = "") -> dict[str, Any]:
    return {"id": number, "name": name, "value": value, "worst": value, "thresh": 10,
            "when_failed": failed, "flags": {"prefailure": True},
            "raw": {"value": raw, "string": str(raw)}}


def ata(*attributes: dict[str, Any], passed: bool = True, **more: Any) -> dict[str, Any]:
    """smartctl's JSON of a SATA disk, as its version 7 writes it."""
    return {"smartctl": {"version": [7, 3], "exit_status": 0 if passed else 8},
            "device": {"name": "/dev/sda", "type": "sat", "protocol": "ATA"},
            "logical_block_size": 512, "smart_support": {"available": True, "enabled": True},
            "smart_status": {"passed": passed}, "temperature": {"current": 34},
            "power_on_time": {"hours": 12345}, "power_cycle_count": 67,
            "ata_smart_attributes": {"revision": 16, "table": list(attributes)},
            "ata_smart_error_log": {"summary": {"revision": 1, "count": 3}}, **more}


def scsi(**more: Any) -> dict[str, Any]:
    """Of a SAS disk."""
    side = {"total_errors_corrected": 9, "gigabytes_processed": "1086347.509"}
    return {"smartctl": {"version": [7, 3], "exit_status": 0},
            "device": {"name": "/dev/sdb", "type": "scsi", "protocol": "SCSI"},
            "smart_status": {"passed": True}, "temperature": {"current": 41, "drive_trip": 65},
            "power_on_time": {"hours": 64579, "minutes": 53}, "scsi_grown_defect_list": 4,
            "scsi_error_counter_log": {"read": {**side, "total_uncorrected_errors": 5},
                                       "write": {**side, "total_uncorrected_errors": 2}}, **more}


class Smartctl(unittest.TestCase):
    def known(self, answer: Any) -> dict[str, Any]:
        return {name: value for name, value in smartctl.parse(answer).items() if value is not None}

    def test_a_sata_disk_with_bad_sectors(self) -> None:
        found = self.known(ata(
            attribute(5, "Reallocated_Sector_Ct", 24), attribute(187, "Reported_Uncorrect", 2),
            attribute(197, "Current_Pending_Sector", 8, failed="now"),
            attribute(198, "Offline_Uncorrectable", 1), attribute(199, "UDMA_CRC_Error_Count", 11),
            attribute(202, "Percent_Lifetime_Remain", 92, value=92),
            attribute(241, "Total_LBAs_Written", 1000), passed=False,
            temperature={"current": 34, "op_limit_max": 60}))
        self.assertEqual(found, {
            "source": "ATA SMART, by smartctl", "failing": 1, "temperature_c": 34.0,
            "warning_temperature_c": 60.0, "power_on_hours": 12345, "power_cycles": 67,
            "reallocated_sectors": 24, "pending_sectors": 8, "media_errors": 2, "link_errors": 11,
            "worn_attributes": 1, "error_log_entries": 3, "percentage_used": 8,
            "data_written": 512000})

    def test_a_sas_disk_with_errors(self) -> None:
        self.assertEqual(self.known(scsi(scsi_percentage_used_endurance_indicator=6)), {
            "source": "SCSI SMART, by smartctl", "failing": 0, "temperature_c": 41.0,
            "warning_temperature_c": 65.0, "power_on_hours": 64579, "reallocated_sectors": 4,
            "media_errors": 7, "percentage_used": 6, "data_written": 1086347509000000,
            "data_read": 1086347509000000})

    def test_newer_versions_say_some_things_for_all_kinds(self) -> None:
        found = self.known(scsi(endurance_used={"current_percent": 12}, power_cycle_count=80,
                                scsi_start_stop_cycle_counter={"accumulated_start_stop_cycles": 1},
                                spare_available={"current_percent": 99, "threshold_percent": 10}))
        self.assertEqual((found["percentage_used"], found["power_cycles"], found["spare"],
                          found["spare_threshold"]), (12, 80, 99, 10))

    def test_what_says_nothing_has_a_reason(self) -> None:
        message = {"messages": [{"string": "/dev/loop0: Unable to detect device type",
                                 "severity": "error"}], "exit_status": 1}
        virtual = {"smartctl": {"exit_status": 4}, "device": {"protocol": "ATA"},
                   "smart_support": {"available": False}}
        for answer, words in (({"smartctl": message}, "Unable to detect device type"),
                              (virtual, "supports no SMART"), ({}, "does not know this kind"),
                              ({"smartctl": {"exit_status": 2}, "device": {"protocol": "ATA"}},
                               "does not know"),
                              ({"device": {"protocol": "NVMe"}}, "does not know")):
            with self.subTest(words), self.assertRaisesRegex(smartctl.Unavailable, words):
                smartctl.parse(answer)

    def test_other_forms_are_left_out(self) -> None:
        for junk in (None, 7, "x", [], [1, None], {"table": 3}, {"table": [None, 5, {"id": []}]},
                     {"read": {"total_uncorrected_errors": "many"}}, {"current": -3}, True):
            for base in (ata(), scsi()):
                for name in [*base, "endurance_used"]:
                    if name not in ("device", "smartctl"):
                        found = smartctl.parse({**base, name: junk})
                        Health("t", unavailable="", **found)
        for junk in (None, [], "x", {"device": []}, {"device": {"protocol": {}}}, 5):
            with self.assertRaises((smartctl.Unavailable)):
                smartctl.parse(junk)

    def test_the_real_one(self) -> None:
        """On what is no disk it says so, and the preflight goes on without."""
        if shutil.which(smartctl.PROGRAM) is None:
            self.skipTest("smartctl is not installed")
        with self.assertRaisesRegex(smartctl.Unavailable, "null"):
            smartctl.read("/dev/null")
        found = health.record(device(kind="scsi", path="/dev/null"))
        self.assertIn("/dev/null", found.unavailable)
        self.assertIsNone(found.failing)

    def test_without_the_program(self) -> None:
        with mock.patch.object(smartctl, "PROGRAM", "/nonexistent/smartctl"):
            found = health.record(device(kind="scsi"))
        self.assertIn("install the package smartmontools", found.unavailable)

    def test_what_it_means_for_the_verdict(self) -> None:
        before = Health("t", unavailable="", **smartctl.parse(scsi()))
        for more, word, said in (
                ({}, "qualified", "4 of 4 requirements met"),
                ({"smart_status": {"passed": False}}, "failed", "no failure predicted"),
                ({"scsi_grown_defect_list": 5}, "failed", "no new reallocated sectors: is 1 new"),
                ({"scsi_error_counter_log": {"read": {"total_uncorrected_errors": 8}}}, "failed",
                 "no new media errors: is 1 new")):
            after = Health("t", unavailable="", **smartctl.parse(scsi(**more)))
            found = good(health_before=before, health_after=after)
            self.assertEqual(found.verdict, word)
            self.assertIn(said, verdict.headline(found, "It").line)
        self.assertEqual([check.verdict for check in preflight.run(
            preflight.site(device(path="/dev/null", kind="scsi"), dataclasses.replace(
                before, failing=1), 0, False, False), []) if check.name == "health"], ["refuse"])


if __name__ == "__main__":
    main()
