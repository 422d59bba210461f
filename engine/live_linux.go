package engine

import (
	"context"

	"devstack/engine/api"
	"devstack/engine/live"
	"devstack/engine/supervise"
	"devstack/engine/watch"
)

// liveEngine is the engine as package live needs it.
type liveEngine struct{ *Engine }

var _ live.Engine = liveEngine{}

// Project is the project called name, or nil.
func (l liveEngine) Project(name string) *supervise.Project { return l.known(name) }

// Warn takes what nobody waits for.
func (l liveEngine) Warn(err error) { l.warn(err) }

// PruneImage removes an image that a rebuild replaced; one that something still
// needs stays.
func (l liveEngine) PruneImage(ctx context.Context, id string) {
	_, _ = l.RemoveImage(ctx, api.RemoveImageRequest{Refs: []string{id}}, nil)
}

// BaseImage is what is known of an image that a Dockerfile builds on.
func (l liveEngine) BaseImage(ref string) (watch.Image, bool) {
	img, err := l.images.Lookup(context.Background(), ref)
	if err != nil {
		return watch.Image{}, false
	}
	c := img.Config
	return watch.Image{WorkingDir: c.WorkingDir, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env}, true
}
