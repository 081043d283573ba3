"""The region's image registry: records of repositories and images, and the door of container tools.

`registry.py` owns the records; `door.py` speaks the registry protocol; `backend.py` is where bytes rest.
"""
