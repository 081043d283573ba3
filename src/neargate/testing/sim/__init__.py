"""The deterministic simulator: a whole region in virtual time, from one seed, with faults.

The real control plane runs here over databases in memory, against simulated or real agents over fakes. `python -m
neargate.testing.sim SEED` replays a seed; `docs/decisions` says why it is built this way.
"""
