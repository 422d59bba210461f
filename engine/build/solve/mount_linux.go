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

	"devstack/engine/build/copy"
	"devstack/engine/build/dockerfile"
	"devstack/engine/build/source"
	"devstack/engine/build/step"
	"devstack/engine/container"
)

// mounting are the --mounts of one RUN: prepared for the key, attached when it
// runs, ended after it.
type mounting struct {
	stage  *stage
	mounts []prepared
	caches map[string]*step.Taken // by id
	ends   []func() error
}

type prepared struct {
	dockerfile.Mount
	in   *input
	plan copy.Ops // of a context
	dir  bool     // that the context's source is a directory
}

// access is the mode and the owner that the mount asks for.
func (p *prepared) access(mode os.FileMode) (_ os.FileMode, uid, gid int) {
	if p.Mode != nil {
		mode = os.FileMode(*p.Mode)
	}
	if p.UID != nil {
		uid = int(*p.UID)
	}
	if p.GID != nil {
		gid = int(*p.GID)
	}
	return mode, uid, gid
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
	if err := m.takeCaches(ctx); err != nil {
		return err
	}
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
			err = m.cache(c, p)
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

// MaxSecret bounds a secret, in bytes, as BuildKit does.
const MaxSecret = 500 << 10

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
		if value, err = source.HostFile(s.File, MaxSecret); err != nil {
			return fmt.Errorf("secret %s: %w", p.CacheID, err)
		}
	}
	if len(value) > MaxSecret {
		return fmt.Errorf("secret %s is larger than %d bytes", p.CacheID, MaxSecret)
	}
	if p.Env != nil {
		c.Env = step.Merge(c.Env, []string{*p.Env + "=" + string(value)})
	}
	if p.Target == "" {
		return nil
	}
	f := container.File{Path: p.Target, Data: value}
	f.Mode, f.UID, f.GID = p.access(0o400)
	c.Files = append(c.Files, f)
	return nil
}

// takeCaches takes what the mounts of caches need, in the order of their ids:
// a locked one is waited for, and nobody may wait for who waits for him.
func (m *mounting) takeCaches(ctx context.Context) error {
	m.caches = map[string]*step.Taken{}
	var wanted []*prepared
	for i := range m.mounts {
		if m.mounts[i].Type == instructions.MountTypeCache {
			wanted = append(wanted, &m.mounts[i])
		}
	}
	slices.SortStableFunc(wanted, func(a, b *prepared) int { return strings.Compare(a.CacheID, b.CacheID) })
	for _, p := range wanted {
		if m.caches[p.CacheID] != nil {
			continue
		}
		taken, err := m.stage.s.Mounts.Take(ctx, m.cacheMount(ctx, p))
		if err != nil {
			return err
		}
		m.caches[p.CacheID] = taken
		m.ends = append(m.ends, taken.Release)
	}
	return nil
}

func (m *mounting) cacheMount(ctx context.Context, p *prepared) step.CacheMount {
	c := step.CacheMount{ID: p.CacheID, Sharing: string(p.CacheSharing)}
	c.Mode, c.UID, c.GID = p.access(0o755)
	if p.From.Kind == dockerfile.Scratch {
		return c
	}
	c.Fill = func(dir *os.File) error {
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
	return c
}

// cache shows a directory that outlives the build.
func (m *mounting) cache(c *step.Command, p *prepared) error {
	subdir := "/"
	if p.From.Kind == dockerfile.Scratch {
		subdir = path.Clean("/" + p.Source)
	}
	held, err := m.caches[p.CacheID].Open(subdir)
	if err != nil {
		return err
	}
	m.ends = append(m.ends, held.Close)
	c.Mounts = append(c.Mounts, step.Mount{Target: p.Target, Held: held, ReadOnly: p.ReadOnly})
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
	s := step.AgentSocket{Path: filepath.Join(dir, "ssh"+strconv.Itoa(index)), Agent: agent}
	s.Mode, s.UID, s.GID = p.access(0o600)
	end, err := s.Serve()
	if err != nil {
		return err
	}
	m.ends = append(m.ends, end)
	c.Mounts = append(c.Mounts, step.Mount{Target: target, Source: s.Path})
	c.Env = step.Merge(c.Env, []string{"SSH_AUTH_SOCK=" + target})
	return nil
}
