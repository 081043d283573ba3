"""What a region may do beyond AWS when its operator says so, by name. Without a name here nothing of it happens.

Owns the names. Must not know what they do. Invariant: a client that was written for AWS notices none that is off.
"""

FILES = "files"  # files and secrets in files, by labels of a container definition: definitions/files.py

EXTENSIONS = (FILES,)
