package solve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"devstack/engine/build/dockerfile"
	"devstack/engine/build/source"
	"devstack/engine/build/step"
	"devstack/engine/image"
	"devstack/engine/image/fetch"
)

// input is something that a stage begins with or a step reads: a context (a
// tree alone), an image or a stage (a result, and a tree over its layers).
type input struct {
	name   string
	result *Result

	b     *build
	once  sync.Once // opens it: result, or tree of a context
	err   error
	mount struct {
		once sync.Once
		root *os.File // where the layers are merged
		err  error
	}
	view struct {
		once sync.Once
		err  error
	}
	tree *source.Tree
}

// inputFor finds what a Source stands for, once for a build. Images are those
// of the stage's platform.
func (b *build) inputFor(ctx context.Context, r *stage, src dockerfile.Source) (*input, error) {
	platform, err := r.platform()
	if err != nil {
		return nil, err
	}
	name := src.String()
	if src.Kind == dockerfile.Image || b.isImage(src) {
		name += " " + image.FormatPlatform(platform)
	}
	b.mu.Lock()
	in := b.inputs[name]
	if in == nil {
		in = &input{name: name, b: b}
		b.inputs[name] = in
	}
	b.mu.Unlock()
	in.once.Do(func() { in.err = in.open(ctx, r, src, platform) })
	return in, in.err
}

// isImage says whether a Source is an additional context that is an image.
func (b *build) isImage(src dockerfile.Source) bool {
	return src.Kind == dockerfile.Context && b.req.Contexts[src.Name].Kind == source.KindImage
}

func (in *input) open(ctx context.Context, r *stage, src dockerfile.Source, platform ocispec.Platform) (err error) {
	b := in.b
	switch {
	case src.Kind == dockerfile.Built:
		in.result, err = b.await(ctx, src.Stage)
		return err
	case src.Kind == dockerfile.Scratch:
		in.result = &Result{File: dockerfile.StateOf(image.File{}), Epoch: b.epoch(time.Time{})}
		return nil
	case src.Kind == dockerfile.Image:
		in.result, err = b.image(ctx, r, source.Spec{Ref: src.Name}, platform)
		return err
	case src.Name == "":
		if b.req.Context == nil {
			return errors.New("there is no build context to read from")
		}
		in.tree = b.req.Context
		return nil
	}
	spec := b.req.Contexts[src.Name]
	if spec.Kind == source.KindImage {
		in.result, err = b.image(ctx, r, spec, platform)
		return err
	}
	in.tree, err = source.Open(ctx, spec, source.Options{
		Name: "context " + src.Name, Dir: b.s.sources(), Cache: b.s.Digests, PlainModes: !b.req.KeepModes, Secret: b.req.Credentials, Environ: b.req.Environ, MaxBytes: b.req.MaxBytes,
	})
	if err != nil {
		return fmt.Errorf("additional context %s: %w", src.Name, err)
	}
	b.held.onEnd(func() { in.tree.Close() })
	return nil
}

// image gets an image and makes it the result that a stage is built on.
func (b *build) image(ctx context.Context, r *stage, spec source.Spec, platform ocispec.Platform) (*Result, error) {
	ref, pinned := spec.Ref, spec.Ref
	if b.req.ResolveImage != nil && !spec.Built {
		var err error
		if pinned, err = b.req.ResolveImage(ref); err != nil {
			return nil, err
		}
	}
	if id := digest.Digest(pinned); id.Validate() == nil {
		img, err := b.s.Images.Lookup(ctx, pinned) // FROM an image by its ID
		if err != nil {
			return nil, err
		}
		return b.onImage(img)
	}
	ev := r.event(-1, 0, "FROM "+image.FamiliarString(ref))
	began := time.Now()
	var pulling sync.Once
	state := Cached
	o := fetch.Options{
		Platform: image.FormatPlatform(platform), Registry: b.req.Registry,
		Progress: func(fetch.Progress) {
			pulling.Do(func() {
				state = Succeeded
				ev := ev
				ev.State = Started
				b.tell(ev)
			})
		},
	}
	switch {
	case spec.Built:
		o.Policy = fetch.Never
	case b.req.Pull:
		o.Policy = fetch.Always
	}
	img, err := fetch.Ensure(ctx, b.s.Images, pinned, o)
	pulling.Do(func() {})
	ev.State, ev.Took = state, time.Since(began)
	if err != nil {
		ev.State = Failed
		b.tell(ev)
		return nil, err
	}
	b.tell(ev)
	if spec.Built {
		// Its name is another one where the project has another one: what is
		// built on it does not say it.
		img.Ref = string(img.ID)
	}
	return b.onImage(img)
}

// onImage is a stage that is an image as it is.
func (b *build) onImage(img image.Image) (*Result, error) {
	if img.Root != "" {
		return b.onRoot(img)
	}
	blob, err := b.s.Images.ReadBlob(img.ID)
	if err != nil {
		return nil, err
	}
	f, err := image.ParseFile(blob)
	if err != nil {
		return nil, err
	}
	res := &Result{Base: img, File: dockerfile.StateOf(f), NewHistory: len(f.History), Epoch: b.epoch(img.Created)}
	for _, l := range img.Layers {
		res.chain = chain(res.chain, l.DiffID)
	}
	return res, nil
}

// onRoot is a stage on a directory of this machine. It is taken to be what it
// was as long as its top is: whoever changes things in it should say
// --no-cache.
func (b *build) onRoot(img image.Image) (*Result, error) {
	var st unix.Stat_t
	if err := unix.Stat(img.Root, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: img.Root, Err: err}
	}
	p, err := image.ParsePlatform(img.Platform)
	if err != nil {
		return nil, err
	}
	k := newKey("rootfs")
	k.add(img.Root, fmt.Sprint(st.Dev, st.Ino, st.Mtim.Nano(), st.Ctim.Nano()))
	f := image.File{Config: img.Config, Platform: p}
	return &Result{Base: img, File: dockerfile.StateOf(f), Epoch: b.epoch(time.Time{}), chain: "rootfs:" + k.sum()}, nil
}

// chainID is what the input is, where that is known without reading it.
func (in *input) chainID() (string, bool) {
	if in.result == nil {
		return "", false
	}
	return "chain:" + in.result.chain, true
}

// root are the layers of an image or stage, for a mount of its own.
func (in *input) root() step.Root {
	lower := in.result.lower(in.b.s.empty())
	if len(lower) == 1 { // without an upper directory an overlay wants two
		lower = append(slices.Clone(lower), in.b.s.empty())
	}
	return step.Root{Lower: lower}
}

// mounted is the merged tree of an image or stage, read-only. The build keeps
// it.
func (in *input) mounted() (*os.File, error) {
	m := &in.mount
	m.once.Do(func() {
		r := in.root()
		if slices.Contains(r.Lower, in.b.s.empty()) && len(r.Lower) == 2 && r.Lower[0] == r.Lower[1] {
			m.root, m.err = os.Open(in.b.s.empty())
		} else {
			m.root, m.err = r.Mount()
		}
		if m.err == nil {
			in.b.held.onEnd(func() { m.root.Close() })
		}
	})
	return m.root, m.err
}

// files is the tree of the input, to copy from.
func (in *input) files() (*source.Tree, error) {
	if in.result == nil {
		return in.tree, nil
	}
	in.view.once.Do(func() {
		var root, dir *os.File
		if root, in.view.err = in.mounted(); in.view.err != nil {
			return
		}
		if dir, in.view.err = step.Listable(root); in.view.err != nil {
			return
		}
		in.tree, in.view.err = source.FromRoot(dir, source.Options{Name: in.name, NoIgnore: true, Owned: true, Cache: in.b.s.Digests})
		if in.view.err == nil {
			in.b.held.onEnd(func() { in.tree.Close() })
		}
	})
	return in.tree, in.view.err
}

// fromContext is a stage whose base is a context that is no image: its files
// over nothing.
func (r *stage) fromContext(ctx context.Context, in *input) (*Result, error) {
	r.res = Result{File: dockerfile.StateOf(image.File{Platform: r.req.Platform}), Epoch: r.epoch(time.Time{})}
	st := &dockerfile.Step{
		Name: "FROM " + in.name, Lines: r.stage.Lines,
		Copy: &dockerfile.Copy{From: r.stage.Base, Sources: []string{"/"}, Dest: "/"},
	}
	rec, err := r.step(ctx, -1, st)
	if err != nil {
		return nil, err
	}
	res := r.res
	if !rec.Empty {
		res.Layers = append(res.Layers, rec.Layer)
		res.chain = chain("", rec.Layer.DiffID)
		res.File.Image.History = []ocispec.History{{CreatedBy: st.Name, Created: &res.Epoch}}
	}
	return &res, nil
}
