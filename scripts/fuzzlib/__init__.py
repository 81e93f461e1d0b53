# SPDX-License-Identifier: MIT OR Apache-2.0
"""The parts of scripts/fuzz: building, running, coverage, the committed inputs."""
