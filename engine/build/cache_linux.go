package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/build/solve"
	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/fetch"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// A cache that travels is an ordinary image whose manifest says, in an
// annotation, which step each layer is of:
//
//	image built with cache_to type=inline   its own layers
//	cache image (registry, local)           layers of steps, of all stages with mode=max
//
// Importing reads manifest and configuration when the first step is not known
// here, and gets the layers of the steps that are found, no other.

// cacheAnnotation has a JSON list of portable.
const cacheAnnotation = "dev.devstack.build.cache.v1"

// portable is a step and the layer it came to.
type portable struct {
	Key   string `json:"k"`
	Layer int    `json:"l"` // index in the manifest; -1: the step changed nothing
	Step  string `json:"s,omitempty"`
}

// caching are the imports and exports of one build.
type caching struct {
	images *store.Store
	req    *Request
	emit   func(Event)

	mu      sync.Mutex
	imports map[string]func() []*imported // by platform
	opened  []*imported
	own     []solve.Done
	others  []solve.Done
}

// imported is a cache that was found.
type imported struct {
	from  CacheRef
	image *fetch.Partial
	steps map[string]portable
}

func (c *caching) close() {
	for _, i := range c.opened {
		i.image.Close()
	}
}

// note remembers what a build did, to export it.
func (c *caching) note(res *solve.Result) {
	c.own = append(c.own, res.Own...)
	c.others = append(c.others, res.Others...)
}

func (c *caching) warn(format string, a ...any) {
	c.emit(Event{State: Warning, Name: "Cache", Line: fmt.Appendf(nil, format, a...)})
}

// find looks a step up in what is imported for a platform; nil without
// imports.
func (c *caching) find(platform ocispec.Platform) func(context.Context, string) (solve.Record, bool) {
	if len(c.req.CacheFrom) == 0 {
		return nil
	}
	name := image.FormatPlatform(platform)
	return func(ctx context.Context, key string) (solve.Record, bool) {
		for _, i := range c.of(ctx, name) {
			p, ok := i.steps[key]
			if !ok {
				continue
			}
			rec := solve.Record{Step: p.Step, Empty: p.Layer < 0}
			if rec.Empty {
				return rec, true
			}
			var err error
			if rec.Layer, err = i.image.Layer(ctx, p.Layer); err == nil {
				return rec, true
			}
			if ctx.Err() == nil {
				c.warn("cache of %s cannot be used: %v", i.from, err)
			}
		}
		return solve.Record{}, false
	}
}

// of opens the imports for a platform, once.
func (c *caching) of(ctx context.Context, platform string) []*imported {
	c.mu.Lock()
	open := c.imports[platform]
	if open == nil {
		open = sync.OnceValue(func() []*imported { return c.open(ctx, platform) })
		if c.imports == nil {
			c.imports = map[string]func() []*imported{}
		}
		c.imports[platform] = open
	}
	c.mu.Unlock()
	return open()
}

func (c *caching) open(ctx context.Context, platform string) []*imported {
	var found []*imported
	for _, from := range c.req.CacheFrom {
		ref := from.Ref
		switch from.Type {
		case cacheLocal:
			ref = "oci:" + from.Dir
		case cacheRegistry:
		default:
			c.warn("cache_from of type %s is not carried out: local and registry are", from.Type)
			continue
		}
		p, err := fetch.Open(ctx, c.images, ref, fetch.Options{Platform: platform, Registry: c.req.Registry})
		if err != nil {
			if ctx.Err() == nil {
				c.warn("there is no cache in %s: %v", from, err)
			}
			continue
		}
		i := &imported{from: from, image: p, steps: map[string]portable{}}
		c.mu.Lock()
		c.opened = append(c.opened, i)
		c.mu.Unlock()
		var steps []portable
		if text := p.Annotations[cacheAnnotation]; text != "" {
			if err := json.Unmarshal([]byte(text), &steps); err != nil {
				c.warn("cache of %s cannot be read: %v", from, err)
			}
		}
		for _, s := range steps {
			if s.Layer < len(p.Image.Layers) {
				i.steps[s.Key] = s
			}
		}
		found = append(found, i)
	}
	return found
}

// pack lists steps for the annotation. layers are those of the manifest; a
// step whose layer is not there is left out.
func pack(steps []solve.Done, layers []image.Layer) (string, error) {
	list := []portable{}
	for _, d := range steps {
		at := -1
		if !d.Record.Empty {
			at = slices.IndexFunc(layers, func(l image.Layer) bool { return l.DiffID == d.Record.Layer.DiffID })
			if at < 0 {
				continue
			}
		}
		// Only the first key is always known: what is exported must not tell
		// whether this build found the step or carried it out.
		list = append(list, portable{Key: d.Keys[0], Layer: at, Step: d.Record.Step})
	}
	b, err := json.Marshal(list)
	return string(b), err
}

// inlineCache has an image say which steps its layers are.
func inlineCache(spec *commit.Spec, steps []solve.Done) error {
	text, err := pack(steps, slices.Concat(spec.Base.Layers, spec.Layers))
	if err != nil {
		return err
	}
	if spec.Annotations == nil {
		spec.Annotations = map[string]string{}
	}
	spec.Annotations[cacheAnnotation] = text
	return nil
}

// export writes the caches that cache_to names, but for inline ones.
func (c *caching) export(ctx context.Context) error {
	var errs []error
	for _, to := range c.req.CacheTo {
		if to.Type == cacheInline {
			continue
		}
		if !to.known() {
			c.warn("cache_to of type %s is not carried out: local, registry and inline are", to.Type)
			continue
		}
		err := c.exportTo(ctx, to)
		switch {
		case err == nil:
		case to.IgnoreErrors && ctx.Err() == nil:
			c.warn("cache is not exported to %s: %v", to, err)
		default:
			errs = append(errs, fmt.Errorf("export cache to %s: %w", to, err))
		}
	}
	return errors.Join(errs...)
}

func (c *caching) exportTo(ctx context.Context, to CacheRef) error {
	steps := c.own
	if to.Max {
		steps = slices.Concat(c.others, c.own)
	}
	img, err := c.cacheImage(ctx, steps)
	if err != nil {
		return err
	}
	defer c.images.Drop(context.WithoutCancel(ctx), func(e store.Entry) bool { return e.Ref == string(img.ID) })
	if to.Type == cacheLocal {
		return writeLayout(ctx, c.images, img, to.Dir)
	}
	ref, err := image.ParseReference(to.Ref)
	if err != nil {
		return err
	}
	remote := c.req.Registry
	if remote == nil {
		remote = registry.New(registry.Options{})
		defer remote.Close()
	}
	_, err = remote.Push(ctx, c.images, ref, img, nil)
	return err
}

// cacheImage is an image of the layers of steps. It has no name but its ID.
func (c *caching) cacheImage(ctx context.Context, steps []solve.Done) (image.Image, error) {
	var layers []image.Layer
	seen := map[digest.Digest]bool{}
	for _, d := range steps {
		if l := d.Record.Layer; !d.Record.Empty && !seen[l.DiffID] {
			seen[l.DiffID] = true
			layers = append(layers, l)
		}
	}
	text, err := pack(steps, layers)
	if err != nil {
		return image.Image{}, err
	}
	return commit.Image(ctx, c.images, commit.Spec{
		Layers: layers, Platform: image.HostPlatform(), Annotations: map[string]string{cacheAnnotation: text},
	})
}
