package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotations of the entries of index.json beside OCI's ref.name.
const (
	annotationSource = "dev.devstack.source"  // digest of what the reference stands for
	annotationStamp  = "dev.devstack.stamp"   // state of the file the image was read from
	annotationAdded  = "dev.devstack.created" // when the entry was made, RFC 3339
)

// Entry is one named image of the store.
type Entry struct {
	Ref      string // canonical
	Platform ocispec.Platform
	Manifest ocispec.Descriptor
	Source   digest.Digest // of the index or manifest that Ref stands for
	Stamp    string        // "" unless read from a file
	Added    time.Time
}

func (e Entry) descriptor() ocispec.Descriptor {
	d := e.Manifest
	d.Platform = &e.Platform
	d.Annotations = map[string]string{
		ocispec.AnnotationRefName: e.Ref,
		annotationSource:          string(e.Source),
		annotationAdded:           e.Added.UTC().Format(time.RFC3339),
	}
	if e.Stamp != "" {
		d.Annotations[annotationStamp] = e.Stamp
	}
	return d
}

func entryOf(d ocispec.Descriptor) Entry {
	e := Entry{
		Ref: d.Annotations[ocispec.AnnotationRefName], Source: digest.Digest(d.Annotations[annotationSource]),
		Stamp: d.Annotations[annotationStamp],
	}
	e.Added, _ = time.Parse(time.RFC3339, d.Annotations[annotationAdded])
	if d.Platform != nil {
		e.Platform = *d.Platform
	}
	if e.Source == "" {
		e.Source = d.Digest
	}
	d.Annotations, d.Platform = nil, nil
	e.Manifest = d
	return e
}

// Unnamed says that the image has no name: its ID stands in for one.
func (e Entry) Unnamed() bool { return digest.Digest(e.Ref).Validate() == nil }

// cachedIndex is index.json as it was when the file looked like info.
type cachedIndex struct {
	info    os.FileInfo
	entries []Entry
}

func (s *Store) indexPath() string { return filepath.Join(s.images, "index.json") }

// Entries are all named images, those without a name under their ID.
func (s *Store) Entries() ([]Entry, error) {
	entries, err := s.entries()
	return slices.Clone(entries), err
}

// entries reads the index; a stat is enough when it has not changed.
func (s *Store) entries() ([]Entry, error) {
	fi, err := os.Stat(s.indexPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read image index: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.index; c.info != nil && os.SameFile(c.info, fi) && c.info.ModTime().Equal(fi.ModTime()) && c.info.Size() == fi.Size() {
		return c.entries, nil
	}
	b, err := os.ReadFile(s.indexPath())
	if err != nil {
		return nil, fmt.Errorf("read image index: %w", err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("read image index %s: %w", s.indexPath(), err)
	}
	entries := make([]Entry, 0, len(index.Manifests))
	for _, d := range index.Manifests {
		entries = append(entries, entryOf(d))
	}
	s.index = cachedIndex{fi, entries}
	return entries, nil
}

// change rewrites the index under its lock.
func (s *Store) change(ctx context.Context, edit func([]Entry) []Entry) error {
	unlock, err := s.lock(ctx, "index.lock", true)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.entries()
	if err != nil {
		return err
	}
	fresh := edit(slices.Clone(old))
	if slices.EqualFunc(old, fresh, same) {
		return nil
	}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	index.SchemaVersion = 2
	for _, e := range fresh {
		index.Manifests = append(index.Manifests, e.descriptor())
	}
	b, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	if err := s.writeFile(s.indexPath(), append(b, '\n')); err != nil {
		return fmt.Errorf("write image index: %w", err)
	}
	return nil
}

// Put names images whose blobs and layers are in the store, all at once. An
// earlier image of the same name and platform loses the name.
func (s *Store) Put(ctx context.Context, fresh ...Entry) error {
	return s.add(ctx, fresh, func(old, e Entry) bool {
		return old.Ref == e.Ref && samePlatform(old.Platform, e.Platform)
	})
}

// Set is Put for names that stand for these images from now on and nothing
// else, on any platform. Where that is so already nothing is written: a build
// of which every step is cached costs no fsync.
func (s *Store) Set(ctx context.Context, fresh ...Entry) error {
	if old, err := s.entries(); err == nil && isSet(old, fresh) {
		return nil
	}
	return s.add(ctx, fresh, func(old, e Entry) bool { return old.Ref == e.Ref })
}

// isSet says whether names stand for just these images.
func isSet(entries, fresh []Entry) bool {
	n := 0
	for _, old := range entries {
		if !slices.ContainsFunc(fresh, func(e Entry) bool { return e.Ref == old.Ref }) {
			continue
		}
		if !slices.ContainsFunc(fresh, func(e Entry) bool {
			if e.Added.IsZero() {
				e.Added = old.Added
			}
			return same(e, old)
		}) {
			return false
		}
		n++
	}
	return n == len(fresh)
}

func (s *Store) add(ctx context.Context, fresh []Entry, replaces func(old, e Entry) bool) error {
	now := time.Now()
	return s.change(ctx, func(entries []Entry) []Entry {
		entries = slices.DeleteFunc(entries, func(o Entry) bool {
			return slices.ContainsFunc(fresh, func(e Entry) bool { return replaces(o, e) })
		})
		for _, e := range fresh {
			if e.Added.IsZero() {
				e.Added = now
			}
			entries = append(entries, e)
		}
		return dropNameless(entries)
	})
}

// dropNameless removes the entries under an ID of images that have a name.
func dropNameless(entries []Entry) []Entry {
	named := map[digest.Digest]bool{}
	for _, e := range entries {
		if !e.Unnamed() {
			named[e.Manifest.Digest] = true
		}
	}
	return slices.DeleteFunc(entries, func(e Entry) bool { return e.Unnamed() && named[e.Manifest.Digest] })
}

// same says whether the index would be written the same.
func same(a, b Entry) bool {
	return reflect.DeepEqual(a.descriptor(), b.descriptor())
}

func samePlatform(a, b ocispec.Platform) bool {
	return a.OS == b.OS && a.Architecture == b.Architecture && a.Variant == b.Variant
}
