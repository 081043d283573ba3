# The few verbs of this project. Each is a script of a page in scripts/.
.PHONY: run stop test test-vm test-machines check fix bench models coverage-table protos guest soak

run:     ## start a region in the background and show the sample task
	@scripts/run
stop:    ## stop all tasks and processes; the databases, the user neargate and packages stay
	@test -x .venv/bin/neargate || { echo "nothing was ever started from here (make run does)"; exit 0; } && .venv/bin/neargate down
test:    ## all tests (root)
	@scripts/test
test-vm: ## the agent's tests in a virtual machine with cgroup version 2 and systemd's mounts (TESTS="..." for others)
	@scripts/setup test && scripts/build-guest && .venv/bin/python -m tests.vm $(TESTS)
test-machines: ## the walk-throughs, and tests of tasks, where each task is a virtual machine (root)
	@scripts/test-machines
check:   ## lint, types, layers, style and unit tests (no root)
	@scripts/check
fix:     ## format and mend what a machine can
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format --quiet .
bench:   ## the benchmarks: a table, and bench/results.json
	@scripts/setup bench && .venv/bin/python -m bench
models:  ## rebuild the trimmed service models from the pinned botocore and show the difference
	@.venv/bin/python scripts/build-models --write && git diff --stat -- src/neargate/wire
coverage-table: ## write docs/coverage.md: every operation, built or refused, and its tests
	@.venv/bin/python scripts/coverage-table --write
protos:  ## rebuild the containerd messages from the .proto file
	@scripts/build-protos
guest:   ## what microVMs start from, built into /var/cache/neargate/guest (or NEARGATE_GUEST_DIR)
	@scripts/setup guest && scripts/build-guest
soak:    ## endless seeds, fuzzed requests, random VPCs and all pairs of real kills; Ctrl-C ends it
	@scripts/setup test; trap : INT; .venv/bin/python -m tests.soak & seeds=$$!; \
	.venv/bin/python -m tests.conformance.fuzz & requests=$$!; \
	NEARGATE_VPC_EXAMPLES=20000 .venv/bin/pytest -q tests/unit/test_vpc_properties.py & vpcs=$$!; \
	.venv/bin/python -m tests.soak_kills; kill $$seeds $$requests $$vpcs
