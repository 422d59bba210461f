# One line a target. Tests and benchmarks need root: they use real namespaces,
# bridges and mounts, all of their own.

.PHONY: build test lint bench fuzz soak

build:
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/devstack ./cmd/bench

test:
	go test -race ./...

lint:
	bash .ci/lint

bench: build
	bin/bench -devstack bin/devstack $(BENCH)

fuzz:
	go list ./... | while read -r p; do go test -list '^Fuzz' $$p | grep '^Fuzz' | while read -r f; do go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-30s} -fuzzminimizetime 10x $$p || exit 1; done || exit 1; done

soak:
	go test -race -count=$${SOAK:-20} -failfast -timeout 0 ./engine/... ./network/... ./cmd/devstack/...
