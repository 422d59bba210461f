package source

import (
	"fmt"

	"devstack/engine/build/ignore"
)

// Type is what an Entry is.
type Type uint8

// The types of entries.
const (
	TypeFile Type = iota + 1
	TypeDir
	TypeLink
	TypeFifo
	TypeChar
	TypeBlock
	TypeSocket
)

func (t Type) String() string {
	names := [...]string{"nothing", "file", "directory", "symbolic link", "named pipe", "character device", "block device", "socket"}
	if int(t) < len(names) {
		return names[t]
	}
	return "thing of an unknown kind"
}

// Stat is what an Entry's inode said when the Tree looked at it. Times are
// nanoseconds since 1970.
type Stat struct {
	Dev, Ino, Links, Rdev       uint64
	Size, Blocks                int64
	Accessed, Modified, Changed int64
}

// Entry is one name in a Tree. Its fields must not be changed.
type Entry struct {
	Path     string // from the root of the Tree, without links; "" is the root
	Name     string
	Type     Type
	Mode     uint32 // permissions with setuid, setgid, sticky
	UID, GID uint32 // 0 where the Tree's owners do not count
	Stat     Stat

	parent   *Entry
	target   *string // of a link, once read
	children []*Entry
	loaded   bool // children are
	visible  bool // valid if hidden and looked
	looked   bool
	hidden   bool // ignored; in the index for what it may hold
	state    ignore.State
	digest   *[32]byte // of content, target and attributes
}

// Options say how to open a source.
type Options struct {
	// Name is what errors call the Tree ("build context", "stage build");
	// default: as Spec says.
	Name string
	// Dockerfile is the path, absolute or in the context, whose own
	// .dockerignore comes before the context's.
	Dockerfile string
	// Ignore replaces the ignore file of the context; NoIgnore forgoes it.
	Ignore   *ignore.Matcher
	NoIgnore bool
	// Dir is where downloads, clones and unpacked archives are kept: required
	// for every kind but directories.
	Dir string
	// Cache remembers digests between builds; nil: none.
	Cache *Cache
	// Environ is the environment that git runs in, and whose proxies and
	// certificates downloads use; nil: this process's.
	Environ []string
	// Secret gives a build secret, for HTTP_AUTH_TOKEN_<host>,
	// HTTP_AUTH_HEADER_<host>, GIT_AUTH_TOKEN and GIT_AUTH_HEADER with or
	// without .<host>; nil: none.
	Secret func(id string) (value []byte, ok bool)
	// Owned says that owners, times and all attributes of the Tree mean
	// something to the image: the roots of images and stages.
	Owned bool
	// PlainModes makes every file 0644, or 0755 if its owner may execute it,
	// and every directory 0755: what two clones with different umasks share.
	PlainModes bool
	// MaxBytes bounds what an archive unpacks to and what is downloaded;
	// default 64 GiB.
	MaxBytes int64
}

// NotFoundError says that a path is not in a Tree, and why.
type NotFoundError struct {
	Tree, Path, Reason string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("%q: %s in %s", e.Path, e.Reason, e.Tree)
}

// RefusedError says that a source holds what no build may take from it.
type RefusedError struct {
	Tree, Path, Reason string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%s: %q %s", e.Tree, e.Path, e.Reason) }

// ChangedError says that a file changed while the build was reading it; the
// build can be tried again.
type ChangedError struct{ Tree, Path string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s: %q changed while it was being read", e.Tree, e.Path)
}
