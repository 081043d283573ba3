"""Tasks in machines of their own: the host's side of a microVM (docs/decisions/0053-microvm-engine.md).

`guest.py` is what an engine uses: processes and a dozen primitives of one running machine. Below it `channel.py` (one
connection), `stream.py` (the rules of one process's input and output), `frames.py` (the bytes). Invariant of them all:
the guest is hostile. What it says is checked, what is kept of it is bounded, and whatever breaks a rule ends its
machine with a reason, never the agent.
"""
