# SPDX-License-Identifier: MIT OR Apache-2.0
"""scripts/bench qualify: what a device is, how it behaves, and whether that is good enough.

From question to module: which device is it (identity, nvme_admin) and how is it (health); may it be
measured here and now (preflight); what is done to it in which order (profiles, plan, steps, jobs);
does it still change (steady); is it good enough (limits, verdict); how is all this kept (model,
store) and shown (text). command puts these together.
"""
