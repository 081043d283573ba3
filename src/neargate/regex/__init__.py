"""Regular expressions of strangers, read (`syntax.py`) and matched (`linear.py`) in linear time. Pure.

Knows nothing of Neargate: what an expression is for, and the error that a user sees, are its callers'.
"""
