package fetch

import (
	"context"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// Partial is an image of which only the layers come that somebody asks for. It
// gets no name in the store: who opened it keeps the store from collecting
// them (store.Begin) until something else does.
type Partial struct {
	// Image says what the layers would be; they need not be in the store.
	Image       image.Image
	Annotations map[string]string // of its manifest

	j   job
	src source
}

// Open reads an image's manifest and configuration from where its reference
// says. Close has to be called.
func Open(ctx context.Context, s *store.Store, ref string, o Options) (*Partial, error) {
	r, err := image.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	platform, err := image.ParsePlatform(o.Platform)
	if err != nil {
		return nil, err
	}
	if err := o.bound(s); err != nil {
		return nil, err
	}
	p := &Partial{j: job{store: s, ref: r, short: image.Short(ref), o: o, platform: platform}}
	if p.src, err = p.j.open(ctx); err != nil {
		return nil, p.j.explain(err)
	}
	d, err := p.j.describe(ctx, p.src)
	if err != nil {
		defer p.Close()
		return nil, p.j.explain(p.src.explain(err))
	}
	p.Image, p.Annotations = d.image, d.annotations
	return p, nil
}

// Layer makes one layer of the image present in the store.
func (p *Partial) Layer(ctx context.Context, index int) (image.Layer, error) {
	l := p.Image.Layers[index]
	if err := p.j.layers(ctx, p.src, []image.Layer{l}, func(Progress) {}); err != nil {
		return l, p.j.explain(p.src.explain(err))
	}
	return l, nil
}

// Close ends what Open began.
func (p *Partial) Close() { p.src.Close() }
