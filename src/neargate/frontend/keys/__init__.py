"""KMS keys of the region: what other services seal values under, and what the KMS operations are made from."""
