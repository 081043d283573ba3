"""IAM's language: policies compiled from documents, and the decision on a request. Pure.

Owns no user, role or key (the front end's registry does) and knows no operation; who asks, for what and under which
keys comes in with the request.
"""
