package lock

import (
	"maps"
	"slices"
)

// Name of the file, beside the first project file.
const Name = "devstack.lock"

// Version is the only one there is. A file of another is refused.
const Version = 1

// File is a lock: images by canonical reference.
type File struct {
	Images map[string]Image
	// lines are the places of Images in the file, for messages.
	name  string
	lines map[string]int
}

// Image is what a reference stands for.
type Image struct {
	Digest    string            // of the index, or of the manifest if there is only one
	Platforms map[string]string // "linux/amd64" -> digest of the manifest
}

// New is an empty lock.
func New() *File { return &File{Images: map[string]Image{}} }

// Canon spells a reference in full. It is not lockable if it names a digest
// already, or no registry: a directory or an archive.
type Canon func(ref string) (canonical string, lockable bool, err error)

// Kind of a Change.
type Kind string

// The kinds.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Change is a difference of two locks in one image.
type Change struct {
	Kind     Kind
	Ref      string
	Old, New Image
	// Platforms that differ, sorted: all of those where the image as a whole
	// was added or removed.
	Platforms []string
}

// Diff tells how to get from old to new, sorted by reference. nil is an empty
// lock.
func Diff(old, new *File) []Change {
	a, b := imagesOf(old), imagesOf(new)
	all := maps.Clone(a)
	maps.Copy(all, b)
	var changes []Change
	for _, ref := range slices.Sorted(maps.Keys(all)) {
		was, had := a[ref]
		is, has := b[ref]
		c := Change{Kind: Changed, Ref: ref, Old: was, New: is, Platforms: differing(was.Platforms, is.Platforms)}
		switch {
		case !had:
			c.Kind = Added
		case !has:
			c.Kind = Removed
		case was.Digest == is.Digest && len(c.Platforms) == 0:
			continue
		}
		changes = append(changes, c)
	}
	return changes
}

func imagesOf(f *File) map[string]Image {
	if f == nil || f.Images == nil {
		return map[string]Image{}
	}
	return f.Images
}

func differing(a, b map[string]string) []string {
	var out []string
	for p, d := range a {
		if b[p] != d {
			out = append(out, p)
		}
	}
	for p := range b {
		if _, ok := a[p]; !ok {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}
