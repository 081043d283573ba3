"""The service scheduler's decisions: what a service looks like (`state.py`), what is to be done next (`reconcile.py`).

Pure: no clock, no database, no randomness. The loop that reads the one and does the other is `clusters/services/`.
"""
