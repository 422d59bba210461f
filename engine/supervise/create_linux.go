package supervise

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/image"
	"devstack/engine/image/snapshot"
	"devstack/engine/logs"
	"devstack/engine/state"
)

// Birth is what a new container is made from.
type Birth struct {
	Name       string
	Service    compose.Service
	Number     int
	OneOff     bool
	AutoRemove bool
	Image      image.Image
	ConfigHash string
	Generation int
	Anonymous  map[string]string // volumes taken over from the generation before
	UseAliases bool              // a one-off container answers to the service's names
	Replaces   string            // the container beside which it is to start
	// MountImages are the images of its mounts of type image, by path.
	MountImages map[string]image.Image
}

// Create makes a container without starting anything in it: root, volumes,
// network place, record. What was made is undone when it fails.
func (p *Project) Create(ctx context.Context, b Birth) (_ *Unit, err error) {
	select {
	case p.m.births <- struct{}{}:
		defer func() { <-p.m.births }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	rec := state.Container{
		ID: newID(), Name: b.Name, Project: p.Name, Service: b.Service.Name, Number: b.Number,
		Generation: b.Generation, OneOff: b.OneOff, AutoRemove: b.AutoRemove, Declared: b.Service,
		Image: b.Image, ConfigHash: b.ConfigHash, Created: time.Now(), Replaces: b.Replaces,
		MountImages: b.MountImages, Anonymous: map[string]string{}, Run: state.Run{State: api.StateCreated},
	}
	for target, volume := range b.Anonymous {
		rec.Anonymous[target] = volume
	}
	u := newUnit(p, rec)
	defer func() {
		if err != nil {
			err = errors.Join(err, u.discard(context.WithoutCancel(ctx), u.newVolumes(b.Anonymous)), p.m.Records.RemoveContainer(p.Name, u.id))
		}
	}()
	if u.snap, err = snapshot.Prepare(p.m.Roots.Data, u.id, b.Image, storageSize(&b.Service)); err != nil {
		return nil, err
	}
	if err := u.makeAnonymous(ctx); err != nil {
		return nil, err
	}
	if err := u.populateVolumes(ctx); err != nil {
		return nil, err
	}
	if err := u.connect(ctx, b.UseAliases || !b.OneOff); err != nil {
		return nil, err
	}
	if u.journal, err = logs.Open(filepath.Join(u.dataDir(), "log"), u.logOptions(&b.Service)); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if _, err := p.m.Records.ContainerDir(p.Name, u.id); err != nil {
		return nil, err
	}
	if err := p.m.Records.PutContainer(&u.rec); err != nil {
		return nil, err
	}
	p.addUnit(u)
	u.emit("create")
	return u, nil
}

// storageSize is what storage_opt lets a container write at most, in bytes; 0
// is no bound.
func storageSize(s *compose.Service) int64 {
	n, err := compose.ParseBytes(s.StorageOpt["size"])
	if err != nil {
		return 0 // the loader has said so
	}
	return int64(n)
}

func newID() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// newVolumes are the anonymous volumes that were not taken over.
func (u *Unit) newVolumes(kept map[string]string) []string {
	var out []string
	for target, name := range u.rec.Anonymous {
		if kept[target] != name {
			out = append(out, name)
		}
	}
	return out
}
