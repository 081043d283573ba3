"""Secrets Manager's secrets: what is kept of them, sealed, and which version has which staging label."""
