package manage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// Step is how an image came to be, in one step.
type Step struct {
	Created   time.Time     `json:"created,omitzero"`
	CreatedBy string        `json:"created_by,omitempty"`
	Author    string        `json:"author,omitempty"`
	Comment   string        `json:"comment,omitempty"`
	Layer     digest.Digest `json:"layer,omitempty"` // diff-id; "" where it changed the configuration only
	Size      int64         `json:"size"`            // of the unpacked layer on disk, bytes
	Blob      int64         `json:"blob"`            // of the blob, bytes
}

// History tells the steps of an image, the latest first. Layers that the
// image's history does not account for are steps of their own.
func History(ctx context.Context, s *store.Store, ref string) ([]Step, error) {
	end, err := s.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	e, err := find(s, ref, "")
	if err != nil {
		return nil, err
	}
	img, err := s.Describe(e)
	if err != nil {
		return nil, err
	}
	b, err := s.ReadBlob(img.ID)
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", image.FamiliarString(ref), err)
	}
	f, err := image.ParseFile(b)
	if err != nil {
		return nil, err
	}
	steps := stepsOf(f, img.Layers)
	for i, step := range steps {
		if step.Layer == "" {
			continue
		}
		if steps[i].Size, err = s.LayerSize(ctx, step.Layer); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

func stepsOf(f image.File, layers []image.Layer) []Step {
	var steps []Step
	for _, h := range f.History {
		step := Step{CreatedBy: h.CreatedBy, Author: h.Author, Comment: h.Comment}
		if h.Created != nil {
			step.Created = *h.Created
		}
		if !h.EmptyLayer && len(layers) > 0 {
			step.Layer, step.Blob = layers[0].DiffID, layers[0].Size
			layers = layers[1:]
		}
		steps = append(steps, step)
	}
	for _, l := range layers {
		steps = append(steps, Step{Layer: l.DiffID, Blob: l.Size})
	}
	slices.Reverse(steps)
	return steps
}
