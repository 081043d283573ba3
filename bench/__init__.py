"""Benchmarks: ratios against real peers on the same machine, interleaved in one run. No test asserts any of them."""
