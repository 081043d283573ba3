"""Tokens of OpenID Connect providers: fetched keys, checked signatures and claims.

Owns no provider and no role (the identity registry does); who a token lets in is the trust policy's to say.
"""
