package solve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"devstack/engine/build/dockerfile"
	"devstack/engine/build/step"
	"devstack/engine/container"
	"devstack/engine/image"
)

// runJob makes RUN ready.
func (r *stage) runJob(ctx context.Context, run *dockerfile.Run) (job, error) {
	network, err := r.network(run)
	if err != nil {
		return job{}, err
	}
	if run.Security == instructions.SecurityInsecure && !r.req.AllowAll {
		return job{}, errors.New("--security=insecure is not allowed: set build.privileged, or build.entitlements: [security.insecure]")
	}
	if len(run.Devices) > 0 {
		return job{}, errors.New("--device is not carried out: there are no CDI devices here")
	}
	k := r.keyFor("run")
	k.list(run.Args)
	k.list(run.Env)
	k.add(run.Dir, run.User, run.Hostname, network, run.Security, strconv.FormatInt(r.req.ShmSize, 10))
	for _, name := range slices.Sorted(maps.Keys(r.req.ExtraHosts)) {
		k.add(name)
		k.list(r.req.ExtraHosts[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.req.Ulimits)) {
		u := r.req.Ulimits[name]
		k.add("ulimit", name, fmt.Sprint(u.Single, u.Soft, u.Hard))
	}
	if run.Script != nil {
		k.add(run.Script.Name, run.Script.Data)
	}
	m := mounting{stage: r}
	if err := m.prepare(ctx, run.Mounts, k); err != nil {
		return job{}, err
	}
	work := func(ctx context.Context, root step.Root, dir string, print func([]byte)) error {
		return r.execute(ctx, run, network, &m, root, dir, print)
	}
	return job{keys: []string{k.sum()}, work: work}, nil
}

// network is the one that a RUN gets: its own wish, else the build's.
func (r *stage) network(run *dockerfile.Run) (string, error) {
	switch {
	case run.Network == instructions.NetworkHost && !r.req.AllowHost:
		return "", errors.New("--network=host is not allowed: set build.network: host, or build.entitlements: [network.host]")
	case run.Network != instructions.NetworkDefault:
		return run.Network, nil
	case r.req.Network == "":
		return instructions.NetworkDefault, nil
	}
	return r.req.Network, nil
}

// execute runs the command and keeps its output for the error.
func (r *stage) execute(ctx context.Context, run *dockerfile.Run, network string, m *mounting, root step.Root, dir string, print func([]byte)) (err error) {
	if err := r.runnable(); err != nil {
		return err
	}
	var log tail
	c := step.Command{
		Root: root, Args: run.Args, Env: step.Merge(run.Env, run.Proxy), Dir: run.Dir, User: run.User, Hostname: run.Hostname,
		Network: network, ExtraHosts: r.req.ExtraHosts, Insecure: run.Security == instructions.SecurityInsecure,
		ShmSize: r.req.ShmSize, Memory: r.req.Memory, Ulimits: r.req.Ulimits,
		Output: func(line []byte) {
			log.line(line)
			print(line)
		},
	}
	if run.Script != nil {
		script := filepath.Join(dir, "script")
		if err := writeScript(script, run.Script.Data); err != nil {
			return err
		}
		c.Mounts = append(c.Mounts, step.Mount{Target: path.Join(dockerfile.ScriptDir, run.Script.Name), Source: script, ReadOnly: true})
	}
	defer func() { err = errors.Join(err, m.end()) }()
	if err := m.attach(ctx, &c, dir); err != nil {
		return err
	}
	if err := r.s.Exec.Run(ctx, c); err != nil {
		return &logged{err: explain(err, run, dir), log: log.bytes()}
	}
	return nil
}

// writeScript makes a file that anybody may execute: the container's own small
// files are not executable.
func writeScript(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}

// fullBelow is the space in bytes with which a disk counts as full.
const fullBelow = 1 << 20

// explain says more where the kernel says little. Programs seldom say why they
// could not write; dir is where what they write is.
func explain(err error, run *dockerfile.Run, dir string) error {
	var exit *step.ExitError
	var fs unix.Statfs_t
	if errors.As(err, &exit) && unix.Statfs(dir, &fs) == nil && int64(fs.Bavail)*fs.Bsize < fullBelow {
		return fmt.Errorf("%w (%w: the disk of the data root is full)", err, unix.ENOSPC)
	}
	var child *container.ChildError
	if errors.As(err, &child) && errors.Is(err, os.ErrNotExist) && child.Op == "exec" && run.Args[0] == "/bin/sh" {
		return fmt.Errorf("%w (the stage has no shell: use the JSON form of RUN, or SHELL)", err)
	}
	return err
}

// runnable says whether programs of the stage's platform run on this machine.
func (r *stage) runnable() error {
	p := r.plan.State.Image.Platform
	host := image.HostPlatform()
	if p.Architecture == "" || p.Architecture == host.Architecture || p.Architecture == "386" && host.Architecture == "amd64" {
		return nil
	}
	if hasHandler(p) {
		return nil
	}
	return fmt.Errorf("programs for %s do not run on this machine (%s): register an emulator with binfmt_misc, for example with the package qemu-user-static",
		image.FormatPlatform(p), image.FormatPlatform(host))
}

// hasHandler looks for an interpreter in binfmt_misc, by QEMU's names.
func hasHandler(p ocispec.Platform) bool {
	names := map[string][]string{
		"arm64": {"aarch64"}, "amd64": {"x86_64"}, "386": {"i386"}, "arm": {"arm"}, "riscv64": {"riscv64"},
		"ppc64le": {"ppc64le"}, "s390x": {"s390x"}, "loong64": {"loongarch64"}, "mips64le": {"mips64el"},
	}
	for _, name := range names[p.Architecture] {
		b, err := os.ReadFile("/proc/sys/fs/binfmt_misc/qemu-" + name)
		if err == nil && strings.HasPrefix(string(b), "enabled") {
			return true
		}
	}
	return false
}
