# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench --hosts`: many machines at once, by fio's own client and server.

    remote    a host behind ssh: what it is, and its fio server for as long as it is needed
    job       what fio's client sends to a server
    merge     what all hosts did together, and which of them stand out
    options   the command lines

The comparison:

    command   plan, measure, write
    measure   the rounds, on all hosts at the same time

qualify:

    qualify   examine, measure, conclude: a session for each host
    agent     on the host: looks at the device there
    there     the host as a session's place: the agent and fio's server
    overview  what is kept of all hosts, and what follows from it; chapter draws it
"""
