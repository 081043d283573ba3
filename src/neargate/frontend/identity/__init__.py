"""The region's identities: accounts, users, groups, roles, policies, access keys, OIDC providers.

`registry.py` is what the rest of the front end sees. `book.py` is one account's read model, `records.py` what is kept,
`schema.py` its tables; the other modules are pure decisions from a book to a change. No operation is known here.
"""
