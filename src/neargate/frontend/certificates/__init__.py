"""Certificates of the account, as AWS Certificate Manager keeps them for load balancers."""
