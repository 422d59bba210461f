package manage

import (
	"context"
	"io"

	"devstack/engine/image"
	"devstack/engine/image/fetch"
	"devstack/engine/image/store"
)

// LoadOptions of Load; the zero value is ready.
type LoadOptions = fetch.LoadOptions

// Load is the reverse of Save; see [fetch.Load] for all that it reads.
func Load(ctx context.Context, s *store.Store, file string, stdin io.Reader, o LoadOptions) ([]image.Image, error) {
	return fetch.Load(ctx, s, file, stdin, o)
}
