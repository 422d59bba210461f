package container

import (
	"context"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/engine/cgroup"
	"devstack/engine/container/seccomp"
)

// Runtime creates containers. It is safe for concurrent use and holds no lock
// while it works: containers are born in parallel.
type Runtime struct {
	root   string // "/devstack-<tag>"
	layout *cgroup.Layout

	nursery nursery
	filters seccomp.Compiler
}

// NewRuntime probes the host's cgroups and prepares the child's executable.
func NewRuntime(o Options) (*Runtime, error) {
	layout, err := cgroup.Probe()
	if err != nil {
		return nil, err
	}
	exe, err := protectedExe(o.Exe)
	if err != nil {
		return nil, fmt.Errorf("protect own executable: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		exe.Close()
		return nil, err
	}
	return &Runtime{root: "/" + o.CgroupRoot, layout: layout, nursery: nursery{exe: exe, null: null, patience: answerLimit}}, nil
}

// Lacks tells which limits this host cannot hold and leaves out; an error is
// one that it cannot hold and must.
func (rt *Runtime) Lacks(res *specs.LinuxResources) ([]string, error) { return rt.layout.Lacks(res) }

// Close releases the runtime's descriptors. Containers go on running.
func (rt *Runtime) Close() error {
	rt.nursery.close()
	rt.nursery.null.Close()
	return rt.nursery.exe.Close()
}

// Sweep removes cgroups below our root whose container is not kept, with what
// still runs in them. It finds them from names alone.
func (rt *Runtime) Sweep(ctx context.Context, keep func(id string) bool) error {
	if rt.root == "/" {
		return nil
	}
	return rt.layout.Sweep(ctx, rt.root, keep)
}
