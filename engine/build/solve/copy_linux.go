package solve

import (
	"context"
	"os"

	"devstack/engine/build/copy"
	"devstack/engine/build/dockerfile"
	"devstack/engine/build/source"
	"devstack/engine/build/step"
)

// copyJob makes COPY or ADD ready. Sources of the context are read to know the
// key; those of stages and images only if the cheap key is not found.
func (r *stage) copyJob(ctx context.Context, c *dockerfile.Copy) (job, error) {
	from, err := r.copyFrom(ctx, c)
	if err != nil {
		return job{}, err
	}
	var plans []copy.Ops
	content := func(ctx context.Context) (string, error) {
		k := r.copyKey("copy", c)
		args, err := r.copyArgs(ctx, c, from)
		if err != nil {
			return "", err
		}
		plans = nil
		for _, a := range args {
			ops, d, err := copy.Plan(ctx, a)
			if err != nil {
				return "", err
			}
			plans = append(plans, ops)
			k.add(string(d))
		}
		return k.sum(), nil
	}
	j := job{detached: c.Link, work: func(ctx context.Context, root step.Root, _ string, _ func([]byte)) error {
		return inRoot(root, func(dir *os.File) error {
			for _, ops := range plans {
				o := copy.Options{Chown: c.Chown, Chmod: c.Chmod, Link: c.Link, Epoch: r.res.Epoch, MaxBytes: r.req.MaxBytes}
				if err := copy.Into(ctx, dir, ops, o); err != nil {
					return err
				}
			}
			return nil
		})
	}}
	j.more = content
	if from != nil {
		if id, ok := from.chainID(); ok {
			k := r.copyKey("copy from", c)
			k.add(id)
			k.list(c.Sources)
			j.keys = []string{k.sum()}
		}
	}
	return j, nil
}

// copyKey begins a key with the arguments of c. What is below counts, except
// for --link: that is a layer which fits on anything.
func (r *stage) copyKey(kind string, c *dockerfile.Copy) key {
	below := r.res.chain
	if c.Link {
		below = "any"
	}
	k := r.keyOn(below, kind)
	k.add(c.Dest, c.Chown, c.Chmod)
	k.flag(c.Link)
	k.flag(c.Parents)
	k.flag(r.unpack(c, false))
	k.list(c.Exclude)
	for _, x := range c.Contents {
		k.add(x.Name, x.Data)
	}
	return k
}

// copyFrom is what the sources are looked up in; nil where none is needed.
func (r *stage) copyFrom(ctx context.Context, c *dockerfile.Copy) (*input, error) {
	if c.Add {
		local := false
		for _, s := range c.Sources {
			_, remote, err := source.ParseRemote(s)
			if err != nil {
				return nil, err
			}
			local = local || !remote
		}
		if !local {
			return nil, nil
		}
	}
	if len(c.Sources) == 0 {
		return nil, nil
	}
	return r.inputFor(ctx, r, c.From)
}

// unpack says whether archives are unpacked: unless told, those that ADD finds
// in the context.
func (r *stage) unpack(c *dockerfile.Copy, remote bool) bool {
	if c.Unpack != nil {
		return *c.Unpack
	}
	return c.Add && !remote
}

// copyArgs are the arguments for package copy. Remote and local sources of an
// ADD differ in what happens to archives, and come one after the other.
func (r *stage) copyArgs(ctx context.Context, c *dockerfile.Copy, from *input) ([]copy.Args, error) {
	var tree *source.Tree
	if from != nil {
		var err error
		if tree, err = from.files(); err != nil {
			return nil, err
		}
	}
	var out []copy.Args
	wasRemote := false
	add := func(s copy.Source) {
		if len(out) == 0 || s.Remote != wasRemote {
			out = append(out, copy.Args{Dest: c.Dest, Workdir: "/", Parents: c.Parents, Exclude: c.Exclude, Unpack: r.unpack(c, s.Remote)})
		}
		wasRemote = s.Remote
		last := &out[len(out)-1]
		last.Sources = append(last.Sources, s)
	}
	for _, s := range c.Sources {
		if c.Add {
			t, remote, err := r.remote(ctx, c, s)
			if err != nil {
				return nil, err
			}
			if remote {
				add(copy.Source{Tree: t, Remote: true})
				continue
			}
		}
		add(copy.Source{Tree: tree, Path: s})
	}
	for _, x := range c.Contents {
		add(copy.Source{Name: x.Name, Data: []byte(x.Data)})
	}
	return out, nil
}

// remote opens a source of ADD that is a URL or a git reference.
func (r *stage) remote(ctx context.Context, c *dockerfile.Copy, s string) (*source.Tree, bool, error) {
	spec, ok, err := source.ParseRemote(s)
	if !ok || err != nil {
		return nil, ok, err
	}
	if c.Checksum != "" {
		spec.Checksum = c.Checksum
	}
	if c.KeepGit != nil {
		spec.KeepGitDir = *c.KeepGit
	}
	t, err := source.OpenRemote(ctx, spec, source.Options{Dir: r.s.sources(), Cache: r.s.Digests, NoIgnore: true, Secret: r.req.Credentials, Environ: r.req.Environ, MaxBytes: r.req.MaxBytes})
	if err != nil {
		return nil, true, err
	}
	r.held.onEnd(func() { t.Close() })
	return t, true, nil
}
