"""The record of every call, in CloudTrail's format: what is seen of it, what may be shown, and how it is written."""
