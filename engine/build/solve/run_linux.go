package solve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"devstack/engine/build/copy"
	"devstack/engine/build/dockerfile"
	"devstack/engine/build/source"
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
	for _, name := range sortedKeys(r.req.ExtraHosts) {
		k.add(name)
		k.list(r.req.ExtraHosts[name])
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

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
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

// mounting are the --mounts of one RUN: prepared for the key, attached when it
// runs, ended after it.
type mounting struct {
	stage  *stage
	mounts []prepared
	ends   []func() error
}

type prepared struct {
	dockerfile.Mount
	in   *input
	plan copy.Ops // of a context
	dir  bool     // that the context's source is a directory
}

func (m *mounting) prepare(ctx context.Context, mounts []dockerfile.Mount, k key) error {
	for _, dm := range mounts {
		p := prepared{Mount: dm}
		k.add("mount", string(dm.Type), dm.Target, dm.Source, dm.CacheID, string(dm.CacheSharing), fmt.Sprint(dm.SizeLimit))
		k.flag(dm.ReadOnly)
		k.flag(dm.Required)
		if dm.Env != nil {
			k.add("env", *dm.Env)
		}
		for _, n := range []*uint64{dm.Mode, dm.UID, dm.GID} {
			if n != nil {
				k.add(strconv.FormatUint(*n, 8))
			}
			k.add(";")
		}
		if dm.Type == instructions.MountTypeBind || dm.Type == instructions.MountTypeCache {
			if err := m.read(ctx, &p, k); err != nil {
				return fmt.Errorf("mount %s: %w", dm.Target, err)
			}
		}
		m.mounts = append(m.mounts, p)
	}
	return nil
}

// read adds to the key what the mount shows.
func (m *mounting) read(ctx context.Context, p *prepared, k key) (err error) {
	if p.in, err = m.stage.inputFor(ctx, m.stage, p.From); err != nil {
		return err
	}
	if id, ok := p.in.chainID(); ok {
		k.add(id)
		return nil
	}
	tree, err := p.in.files()
	if err != nil {
		return err
	}
	at, err := tree.Resolve(p.Source)
	if err != nil {
		return err
	}
	p.dir = at.Type == source.TypeDir
	dest := "/tree"
	if p.dir {
		dest += "/"
	}
	ops, d, err := copy.Plan(ctx, copy.Args{Sources: []copy.Source{{Tree: tree, Path: p.Source}}, Dest: dest, Workdir: "/"})
	if err != nil {
		return err
	}
	p.plan = ops
	k.add(string(d))
	return nil
}

// attach makes everything that the command will see.
func (m *mounting) attach(ctx context.Context, c *step.Command, dir string) error {
	for i := range m.mounts {
		p := &m.mounts[i]
		var err error
		switch p.Type {
		case instructions.MountTypeTmpfs:
			c.Mounts = append(c.Mounts, step.Mount{Target: p.Target, Tmpfs: true, Size: p.SizeLimit, ReadOnly: p.ReadOnly})
		case instructions.MountTypeSecret:
			err = m.secret(c, p)
		case instructions.MountTypeSSH:
			err = m.ssh(c, p, dir, i)
		case instructions.MountTypeCache:
			err = m.cache(ctx, c, p)
		default:
			err = m.bind(ctx, c, p, filepath.Join(dir, "m"+strconv.Itoa(i)))
		}
		if err != nil {
			return fmt.Errorf("mount %s: %w", cmp.Or(p.Target, string(p.Type)), err)
		}
	}
	return nil
}

// end gives everything back, in reverse.
func (m *mounting) end() error {
	var errs []error
	for i := len(m.ends) - 1; i >= 0; i-- {
		errs = append(errs, m.ends[i]())
	}
	m.ends = nil
	return errors.Join(errs...)
}

// bind shows a tree. What is written to one that is not read-only is gone
// after the command.
func (m *mounting) bind(ctx context.Context, c *step.Command, p *prepared, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if p.in.result == nil {
		at, err := m.copied(ctx, p, dir)
		if err != nil {
			return err
		}
		c.Mounts = append(c.Mounts, step.Mount{Target: p.Target, Source: at, ReadOnly: p.ReadOnly})
		return nil
	}
	root, err := p.in.mounted()
	if err != nil {
		return err
	}
	if !p.ReadOnly {
		own := p.in.root()
		if own.Upper, own.Work, err = step.Scratch(dir); err != nil {
			return err
		}
		if root, err = own.Mount(); err != nil {
			return err
		}
		m.ends = append(m.ends, root.Close)
	}
	held, err := step.OpenPath(root, p.Source)
	if err != nil {
		return err
	}
	m.ends = append(m.ends, held.Close)
	c.Mounts = append(c.Mounts, step.Mount{Target: p.Target, Held: held, ReadOnly: p.ReadOnly})
	return nil
}

// copied is what a mount shows of a context: a copy, because the context
// itself may change, has files that are left out of it, and is the user's.
func (m *mounting) copied(ctx context.Context, p *prepared, dir string) (string, error) {
	at := filepath.Join(dir, "tree")
	if p.dir {
		if err := os.Mkdir(at, 0o755); err != nil {
			return "", err
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	return at, copy.Into(ctx, root, p.plan, copy.Options{Epoch: m.stage.res.Epoch})
}

// maxSecret bounds a secret, in bytes, as BuildKit does.
const maxSecret = 500 << 10

func (m *mounting) secret(c *step.Command, p *prepared) error {
	s, ok := m.stage.req.Secrets[p.CacheID]
	if !ok {
		if p.Required {
			return fmt.Errorf("secret %s: not found", p.CacheID)
		}
		return nil
	}
	value := s.Value
	if s.File != "" {
		var err error
		if value, err = os.ReadFile(s.File); err != nil {
			return fmt.Errorf("secret %s: %w", p.CacheID, err)
		}
	}
	if len(value) > maxSecret {
		return fmt.Errorf("secret %s is larger than %d bytes", p.CacheID, maxSecret)
	}
	if p.Env != nil {
		c.Env = step.Merge(c.Env, []string{*p.Env + "=" + string(value)})
	}
	if p.Target == "" {
		return nil
	}
	f := container.File{Path: p.Target, Data: value, Mode: 0o400}
	if p.Mode != nil {
		f.Mode = os.FileMode(*p.Mode)
	}
	if p.UID != nil {
		f.UID = int(*p.UID)
	}
	if p.GID != nil {
		f.GID = int(*p.GID)
	}
	c.Files = append(c.Files, f)
	return nil
}

// cache shows a directory that outlives the build.
func (m *mounting) cache(ctx context.Context, c *step.Command, p *prepared) error {
	w := step.CacheMount{ID: p.CacheID, Sharing: string(p.CacheSharing), Mode: 0o755}
	if p.Mode != nil {
		w.Mode = os.FileMode(*p.Mode)
	}
	if p.UID != nil {
		w.UID = int(*p.UID)
	}
	if p.GID != nil {
		w.GID = int(*p.GID)
	}
	if p.From.Kind != dockerfile.Scratch {
		w.Fill = func(dir *os.File) error {
			tree, err := p.in.files()
			if err != nil {
				return err
			}
			ops, _, err := copy.Plan(ctx, copy.Args{Sources: []copy.Source{{Tree: tree, Path: p.Source}}, Dest: "/", Workdir: "/"})
			if err != nil {
				return err
			}
			return copy.Into(ctx, dir, ops, copy.Options{})
		}
	} else if p.Source != "" && path.Clean("/"+p.Source) != "/" {
		w.Subdir = path.Clean("/" + p.Source)[1:]
	}
	dir, release, err := m.stage.s.Mounts.Take(ctx, w)
	if err != nil {
		return err
	}
	m.ends = append(m.ends, release)
	c.Mounts = append(c.Mounts, step.Mount{Target: p.Target, Source: dir, ReadOnly: p.ReadOnly})
	return nil
}

// ssh shows a socket that leads to an agent outside.
func (m *mounting) ssh(c *step.Command, p *prepared, dir string, index int) error {
	agent, ok := m.stage.req.SSH[p.CacheID]
	if !ok {
		if p.Required {
			return fmt.Errorf("ssh %s: no agent or key was given for it (build.ssh, --ssh)", p.CacheID)
		}
		return nil
	}
	target := p.Target
	if target == "" {
		target = "/run/buildkit/ssh_agent." + strconv.Itoa(index)
	}
	s := step.AgentSocket{Path: filepath.Join(dir, "ssh"+strconv.Itoa(index)), Agent: agent, Mode: 0o600}
	if p.Mode != nil {
		s.Mode = os.FileMode(*p.Mode)
	}
	if p.UID != nil {
		s.UID = int(*p.UID)
	}
	if p.GID != nil {
		s.GID = int(*p.GID)
	}
	end, err := s.Serve()
	if err != nil {
		return err
	}
	m.ends = append(m.ends, end)
	c.Mounts = append(c.Mounts, step.Mount{Target: target, Source: s.Path})
	c.Env = step.Merge(c.Env, []string{"SSH_AUTH_SOCK=" + target})
	return nil
}
