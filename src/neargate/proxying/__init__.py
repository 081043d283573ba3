"""What a load balancer's node runs: its plan as HAProxy's files and commands; what HAProxy tells as verdicts. Pure."""
