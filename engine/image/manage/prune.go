package manage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// PruneOptions of Prune; the zero value removes images without a name.
type PruneOptions struct {
	All    bool // named ones that no container uses, too
	Filter Filter
	// Keep is how many bytes the store may go on taking: of what may go, the
	// oldest goes until it fits. 0 removes all of that.
	Keep int64
	// DryRun only tells what would go.
	DryRun bool
}

// Prune removes images that no container uses, and all garbage.
func Prune(ctx context.Context, s *store.Store, use InUse, o PruneOptions) (Removed, error) {
	containers, err := use.containers()
	if err != nil {
		return Removed{}, fmt.Errorf("prune images: list containers: %w", err)
	}
	entries, err := s.Entries()
	if err != nil {
		return Removed{}, err
	}
	all := candidates(s, entries)
	chosen := all[:0:0]
	for _, c := range all {
		if c.mayGo(containers, o) {
			chosen = append(chosen, c)
		}
	}
	if o.Keep > 0 {
		if chosen, err = overBudget(ctx, s, all, chosen, o.Keep); err != nil {
			return Removed{}, err
		}
	}
	going := map[digest.Digest]bool{}
	var images []image.Image
	for _, c := range chosen {
		going[c.img.Manifest] = true
		images = append(images, c.img)
	}
	match := func(e store.Entry) bool { return going[e.Manifest.Digest] && e.Added.Before(newest(all, e)) }
	if o.DryRun {
		return preview(entries, going, images), nil
	}
	out, err := drop(ctx, s, match, images)
	if err != nil {
		return out, err
	}
	out.Collected, err = Collect(ctx, s, use)
	return out, err
}

// newest is a time after which an entry is not the one that was judged: an
// image that was pulled or built again meanwhile stays.
func newest(all []candidate, e store.Entry) time.Time {
	for _, c := range all {
		if c.img.Manifest == e.Manifest.Digest {
			return c.added.Add(time.Second)
		}
	}
	return time.Time{}
}

func preview(entries []store.Entry, going map[digest.Digest]bool, images []image.Image) Removed {
	var out Removed
	for _, e := range entries {
		if going[e.Manifest.Digest] && !e.Unnamed() {
			out.Untagged = append(out.Untagged, e.Ref)
		}
	}
	for _, img := range images {
		out.Deleted = append(out.Deleted, img.ID)
	}
	return out
}

// candidate is an image with all of its names.
type candidate struct {
	img   image.Image
	names int
	added time.Time // the latest
}

// candidates are the images of the store, the oldest first.
func candidates(s *store.Store, entries []store.Entry) []candidate {
	byManifest := map[digest.Digest]*candidate{}
	var order []digest.Digest
	for _, e := range entries {
		c := byManifest[e.Manifest.Digest]
		if c == nil {
			img, err := s.Describe(e)
			if err != nil {
				img = image.Image{Ref: e.Ref, Manifest: e.Manifest.Digest} // damaged
			}
			c = &candidate{img: img}
			byManifest[e.Manifest.Digest] = c
			order = append(order, e.Manifest.Digest)
		}
		if !e.Unnamed() {
			c.names++
		}
		if e.Added.After(c.added) {
			c.added = e.Added
		}
	}
	all := make([]candidate, 0, len(order))
	for _, d := range order {
		all = append(all, *byManifest[d])
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return a.added.Compare(b.added) })
	return all
}

func (c candidate) mayGo(containers []Container, o PruneOptions) bool {
	all := o.All
	if o.Filter.Dangling != nil {
		all = !*o.Filter.Dangling
	}
	if c.names > 0 && !all || !o.Filter.passes(c.img, c.added) {
		return false
	}
	return !slices.ContainsFunc(containers, func(x Container) bool { return uses(x, c.img) })
}

// overBudget picks, the oldest first, what has to go for the rest to fit.
func overBudget(ctx context.Context, s *store.Store, all, may []candidate, keep int64) ([]candidate, error) {
	l := ledger{users: map[digest.Digest]int{}, sizes: map[digest.Digest]int64{}}
	for _, c := range all {
		if err := l.add(ctx, s, c.img); err != nil {
			return nil, err
		}
	}
	for i, c := range may {
		if l.total <= keep {
			return may[:i], nil
		}
		l.remove(c.img)
	}
	return may, nil
}

// ledger counts what images take together, what they share once.
type ledger struct {
	users map[digest.Digest]int
	sizes map[digest.Digest]int64
	total int64
}

func (l *ledger) add(ctx context.Context, s *store.Store, img image.Image) error {
	for _, x := range img.Layers {
		tree, err := s.LayerSize(ctx, x.DiffID)
		if err != nil {
			return err
		}
		// Keyed by the blob, trees of one content count twice: rare, and
		// too much goes rather than too little.
		l.sizes[x.Digest] = x.Size + tree
		l.users[x.Digest]++
		if l.users[x.Digest] == 1 {
			l.total += l.sizes[x.Digest]
		}
	}
	return nil
}

func (l *ledger) remove(img image.Image) {
	for _, x := range img.Layers {
		l.users[x.Digest]--
		if l.users[x.Digest] == 0 {
			l.total -= l.sizes[x.Digest]
		}
	}
}

// PruneBuildsOptions of PruneBuilds; the zero value removes all records that
// no running build uses.
type PruneBuildsOptions struct {
	Filter Filter // Until only, of the last use
	// Keep is how many bytes the cache may go on taking, layers included:
	// what was not used for longest goes until it fits.
	Keep   int64
	DryRun bool
}

// PrunedBuilds says what of a build cache went.
type PrunedBuilds struct {
	Records   []BuildRecord
	Size      int64 // bytes outside of the store
	Collected store.Collected
}

// PruneBuilds removes records of the build cache, and all garbage. The layers
// of a record stay if an image has them too.
func PruneBuilds(ctx context.Context, s *store.Store, use InUse, o PruneBuildsOptions) (PrunedBuilds, error) {
	records, err := use.records(ctx)
	if err != nil {
		return PrunedBuilds{}, fmt.Errorf("prune builds: %w", err)
	}
	sizes := map[digest.Digest]int64{}
	for _, r := range records {
		for _, d := range r.Layers {
			if sizes[d], err = s.LayerSize(ctx, d); err != nil {
				return PrunedBuilds{}, err
			}
		}
		for _, d := range r.Blobs {
			sizes[d] = s.BlobSize(d)
		}
	}
	var out PrunedBuilds
	var ids []string
	for _, r := range recordsToForget(records, sizes, o) {
		out.Records, out.Size = append(out.Records, r), out.Size+r.Size
		ids = append(ids, r.ID)
	}
	if o.DryRun {
		return out, nil
	}
	if len(ids) > 0 {
		if err := use.Builds.Forget(ctx, ids); err != nil {
			return PrunedBuilds{}, fmt.Errorf("prune builds: %w", err)
		}
	}
	out.Collected, err = Collect(ctx, s, use)
	return out, err
}

// recordsToForget picks by last use, the oldest first; sizes are those of
// what the records keep in the store.
func recordsToForget(records []BuildRecord, sizes map[digest.Digest]int64, o PruneBuildsOptions) []BuildRecord {
	users := map[digest.Digest]int{}
	var total int64
	for _, r := range records {
		total += r.Size
		for _, d := range slices.Concat(r.Layers, r.Blobs) {
			if users[d]++; users[d] == 1 {
				total += sizes[d]
			}
		}
	}
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(a, b BuildRecord) int {
		return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.ID, b.ID))
	})
	var out []BuildRecord
	for _, r := range records {
		if r.InUse || !o.Filter.Until.IsZero() && !r.Used.Before(o.Filter.Until) || o.Keep > 0 && total <= o.Keep {
			continue
		}
		total -= r.Size
		for _, d := range slices.Concat(r.Layers, r.Blobs) {
			if users[d]--; users[d] == 0 {
				total -= sizes[d]
			}
		}
		out = append(out, r)
	}
	return out
}
