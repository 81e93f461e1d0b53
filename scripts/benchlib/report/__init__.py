# SPDX-License-Identifier: MIT OR Apache-2.0
"""scripts/bench report and show: any stored result, drawn again. sources knows who draws which."""
