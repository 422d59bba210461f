package manage

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// InUse tells what must stay although no name reaches it. Both are asked
// while nobody writes to the store, and must not write themselves.
type InUse struct {
	Containers func() ([]Container, error) // nil: none
	Builds     BuildCache                  // nil: none
	// Later is called instead of waiting where somebody writes to the store:
	// names are gone, and it is to Collect the garbage when that has ended.
	// nil: Collect waits.
	Later func()
}

// Container is one that exists, whether it runs or not.
type Container struct {
	ID, Name, Project string
	Running           bool
	Image             image.Image
	Upper             string // directory of what it wrote
}

// BuildCache keeps what the steps of builds made, beneath DATA/builds.
type BuildCache interface {
	// Records lists all that is kept.
	Records(ctx context.Context) ([]BuildRecord, error)
	// Forget removes records and what belongs to them outside of the store.
	// One that a build has come to use meanwhile stays, which is no error.
	Forget(ctx context.Context, ids []string) error
}

// BuildRecord is one thing a build cache keeps.
type BuildRecord struct {
	ID, Project string
	Kind        string // "step", "source", "cache mount", ...
	Description string // for people: the instruction
	Created     time.Time
	Used        time.Time // last
	InUse       bool      // by a build that runs
	// Layers (diff-ids) and Blobs of the store stay as long as the record.
	Layers, Blobs []digest.Digest
	Size          int64 // bytes on disk outside of the store
}

func (u InUse) containers() ([]Container, error) {
	if u.Containers == nil {
		return nil, nil
	}
	return u.Containers()
}

func (u InUse) records(ctx context.Context) ([]BuildRecord, error) {
	if u.Builds == nil {
		return nil, nil
	}
	return u.Builds.Records(ctx)
}

// Collect removes what nothing reaches any more: garbage of earlier builds,
// pulls and removals. It waits until nobody writes to the store, or leaves
// that to use.Later.
func Collect(ctx context.Context, s *store.Store, use InUse) (store.Collected, error) {
	keep := func() (store.Kept, error) {
		var kept store.Kept
		containers, err := use.containers()
		if err != nil {
			return kept, fmt.Errorf("list containers: %w", err)
		}
		for _, c := range containers {
			if c.Image.Root == "" {
				kept.Images = append(kept.Images, c.Image)
			}
		}
		records, err := use.records(ctx)
		if err != nil {
			return kept, fmt.Errorf("list build cache: %w", err)
		}
		for _, r := range records {
			kept.Layers = append(kept.Layers, r.Layers...)
			kept.Blobs = append(kept.Blobs, r.Blobs...)
		}
		return kept, nil
	}
	if use.Later == nil {
		return s.Collect(ctx, keep)
	}
	c, done, err := s.TryCollect(ctx, keep)
	if err == nil && !done {
		use.Later()
	}
	return c, err
}
