"""Elastic Load Balancing v2: what load balancers, listeners and target groups are, where their nodes are placed."""
