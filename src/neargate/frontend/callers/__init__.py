"""Who calls: keys and signatures, sessions, web identities, and the roles that tasks assume.

Users, roles and their keys are `../identity/`'s to keep; whether a caller may do what they ask, `../authorize.py`'s.
"""
