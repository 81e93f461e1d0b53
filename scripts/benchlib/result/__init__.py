# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a result is, on disk and in memory; needs the standard library only.

    model     the classes of a comparison's result: the schema of result.json
    codec     classes to JSON and back, every field checked
    upgrade   results of older schemas
    storage   a result's folder: read, written whole, never half
    kinds     which kind of result a folder or file holds
    words     the names of cases, workloads, sizes and times in everything that people read
"""
