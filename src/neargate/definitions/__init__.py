"""Rules of task definitions: pure functions over wire-shaped documents.

Owns what a definition and a run's overrides may say, how they are stored and what an agent is told of them. Knows no
store, no clock, no cluster. Invariant: a document made by `normalise` can be launched without a further check.
"""
