package manage

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/store"
)

// Usage is what everything takes on disk, in bytes.
type Usage struct {
	Images     []ImageUsage     `json:"images"`
	Containers []ContainerUsage `json:"containers"`
	Volumes    []VolumeUsage    `json:"volumes"`
	Builds     []BuildUsage     `json:"builds"`
	Projects   []ProjectUsage   `json:"projects"` // by name; "" is what belongs to none
	Blobs      int64            `json:"blobs"`    // all of the store
	Layers     int64            `json:"layers"`   // all of the store
	Held       int64            `json:"held"`     // of both, what images with containers have
}

// ImageUsage is one image.
type ImageUsage struct {
	Names      []string      `json:"names"` // familiar; none: dangling
	ID         digest.Digest `json:"id"`
	Platform   string        `json:"platform"`
	Created    time.Time     `json:"created,omitzero"`
	Added      time.Time     `json:"added,omitzero"`       // came to the store
	Size       int64         `json:"size"`                 // blobs and unpacked layers
	Unique     int64         `json:"unique"`               // of Size, what no other image has
	Containers []string      `json:"containers,omitempty"` // names
	Projects   []string      `json:"projects,omitempty"`
}

// ContainerUsage is what a container wrote beside its volumes.
type ContainerUsage struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Project string `json:"project"`
	Running bool   `json:"running"`
	Size    int64  `json:"size"`
}

// Volume is one to be measured.
type Volume struct {
	Name, Project string
	Path          string   // "" where it is no directory
	Containers    []string // names of those that use it
}

// VolumeUsage is one volume.
type VolumeUsage struct {
	Name       string   `json:"name"`
	Project    string   `json:"project"`
	Size       int64    `json:"size"`
	Containers []string `json:"containers,omitempty"`
}

// BuildUsage is one record of the build cache. Shared says that images or
// other records have all of its layers too.
type BuildUsage struct {
	BuildRecord
	Total  int64 `json:"total"` // with layers and blobs
	Shared bool  `json:"shared"`
}

// ProjectUsage sums up a project. An image counts for every project that has
// containers of it.
type ProjectUsage struct {
	Name       string `json:"name"`
	Images     int64  `json:"images"`
	Containers int64  `json:"containers"`
	Volumes    int64  `json:"volumes"`
	Builds     int64  `json:"builds"`
}

// DiskUsage measures everything.
func DiskUsage(ctx context.Context, s *store.Store, use InUse, volumes []Volume) (Usage, error) {
	u, err := diskUsage(ctx, s, use, volumes)
	if err != nil {
		return Usage{}, fmt.Errorf("measure disk usage: %w", err)
	}
	return u, nil
}

func diskUsage(ctx context.Context, s *store.Store, use InUse, volumes []Volume) (u Usage, err error) {
	end, err := s.Begin(ctx)
	if err != nil {
		return u, err
	}
	defer end()
	containers, err := use.containers()
	if err != nil {
		return u, err
	}
	records, err := use.records(ctx)
	if err != nil {
		return u, err
	}
	u.Containers, u.Volumes = make([]ContainerUsage, len(containers)), make([]VolumeUsage, len(volumes))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, c := range containers {
		u.Containers[i] = ContainerUsage{ID: c.ID, Name: c.Name, Project: c.Project, Running: c.Running}
		g.Go(func() error { return measure(gctx, c.Upper, &u.Containers[i].Size) })
	}
	for i, v := range volumes {
		u.Volumes[i] = VolumeUsage{Name: v.Name, Project: v.Project, Containers: v.Containers}
		g.Go(func() error { return measure(gctx, v.Path, &u.Volumes[i].Size) })
	}
	g.Go(func() (err error) { u.Blobs, u.Layers, err = s.Sizes(gctx); return err })
	if err := g.Wait(); err != nil {
		return u, err
	}
	t := tally{ctx: ctx, s: s, users: map[digest.Digest]int{}, held: map[digest.Digest]int64{}}
	if u.Images, err = t.images(containers); err != nil {
		return u, err
	}
	if u.Builds, err = t.builds(records); err != nil {
		return u, err
	}
	for _, n := range t.held {
		u.Held += n
	}
	u.Projects = byProject(u)
	return u, nil
}

func measure(ctx context.Context, dir string, size *int64) (err error) {
	if dir != "" {
		*size, err = layer.DiskUsage(ctx, dir)
	}
	return err
}

// tally knows how many images and records have a layer or blob.
type tally struct {
	ctx   context.Context
	s     *store.Store
	users map[digest.Digest]int
	held  map[digest.Digest]int64 // the parts of images that containers use
}

func (t *tally) images(containers []Container) ([]ImageUsage, error) {
	entries, err := t.s.Entries()
	if err != nil {
		return nil, err
	}
	all := candidates(t.s, entries)
	for _, c := range all {
		t.use(c.img)
	}
	var out []ImageUsage
	for _, c := range all {
		u := ImageUsage{
			ID: c.img.ID, Platform: c.img.Platform, Created: c.img.Created, Added: c.added,
			Names: namesOf(entries, func(e store.Entry) bool { return e.Manifest.Digest == c.img.Manifest && !e.Unnamed() }),
		}
		for _, x := range containers {
			if !uses(x, c.img) {
				continue
			}
			u.Containers = append(u.Containers, x.Name)
			if !slices.Contains(u.Projects, x.Project) {
				u.Projects = append(u.Projects, x.Project)
			}
		}
		if u.Size, u.Unique, err = t.size(c.img, len(u.Containers) > 0); err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

func (t *tally) use(img image.Image) {
	for d := range parts(img) {
		t.users[d]++
	}
}

// parts are the layers' blobs and trees of an image, each once. An
// uncompressed blob has the digest of its tree: that gets a name of its own.
func parts(img image.Image) map[digest.Digest]int64 {
	m := map[digest.Digest]int64{}
	for _, l := range img.Layers {
		m["blob "+l.Digest] = l.Size
		m[l.DiffID] = -1
	}
	return m
}

func (t *tally) size(img image.Image, held bool) (all, unique int64, err error) {
	if held {
		for _, d := range []digest.Digest{img.Manifest, img.ID} {
			t.held["blob "+d] = t.s.BlobSize(d)
		}
	}
	for d, n := range parts(img) {
		if n < 0 {
			if n, err = t.s.LayerSize(t.ctx, d); err != nil {
				return 0, 0, err
			}
		}
		all += n
		if held {
			t.held[d] = n
		}
		if t.users[d] == 1 {
			unique += n
		}
	}
	return all, unique, nil
}

func (t *tally) builds(records []BuildRecord) ([]BuildUsage, error) {
	for _, r := range records {
		for _, d := range r.Layers {
			t.users[d]++
		}
	}
	var out []BuildUsage
	for _, r := range records {
		u := BuildUsage{BuildRecord: r, Total: r.Size, Shared: len(r.Layers) > 0}
		for _, d := range r.Layers {
			n, err := t.s.LayerSize(t.ctx, d)
			if err != nil {
				return nil, err
			}
			u.Total += n
			u.Shared = u.Shared && t.users[d] > 1
		}
		for _, d := range r.Blobs {
			u.Total += t.s.BlobSize(d)
		}
		out = append(out, u)
	}
	return out, nil
}

func byProject(u Usage) []ProjectUsage {
	sums := map[string]*ProjectUsage{}
	of := func(name string) *ProjectUsage {
		if sums[name] == nil {
			sums[name] = &ProjectUsage{Name: name}
		}
		return sums[name]
	}
	for _, c := range u.Containers {
		of(c.Project).Containers += c.Size
	}
	for _, v := range u.Volumes {
		of(v.Project).Volumes += v.Size
	}
	for _, b := range u.Builds {
		of(b.Project).Builds += b.Size
	}
	for _, img := range u.Images {
		for _, p := range img.Projects {
			of(p).Images += img.Size
		}
		if len(img.Projects) == 0 {
			of("").Images += img.Size
		}
	}
	var out []ProjectUsage
	for _, p := range slices.SortedFunc(maps.Values(sums), func(a, b *ProjectUsage) int { return cmp.Compare(a.Name, b.Name) }) {
		out = append(out, *p)
	}
	return out
}
