"""Elastic Load Balancing v2: thin operations over `frontend/balancing/`."""
