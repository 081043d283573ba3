"""A cell's services: their tables (`tables.py`), what is asked of them (`manager.py`), and the loop that keeps them.

The loop reads a service as one snapshot, asks the pure decision (`scheduling/services`) and makes it durable in one
write that is guarded by the service's `rev`; a process that is killed anywhere begins again with what is durable.
"""
