"""Benchmarks: ratios against real peers on the same machine, in one interleaved run. Nothing here is asserted by tests."""
