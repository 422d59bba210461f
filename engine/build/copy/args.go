package copy

import (
	"fmt"
	"path"
	"strings"
	"time"

	"devstack/engine/build/source"
)

// Source is one source of an instruction.
type Source struct {
	// Tree is where Path is looked up. Sources of ADD that are git references
	// or URLs come as the tree that source.Open made of them, with Remote set
	// and Path empty: they mean all of it.
	Tree   *source.Tree
	Path   string
	Remote bool
	// Name and Data are a here-document instead, copied as a file 0644.
	Name string
	Data []byte
}

// Args are the arguments of a COPY or ADD, variables expanded.
type Args struct {
	Sources []Source
	Dest    string // as written: trailing slashes count
	Workdir string // absolute; what a relative Dest is relative to
	Parents bool
	Exclude []string
	// Unpack says whether sources that are archives are unpacked: the value
	// of --unpack or, where it is not given, true for files of ADD's context
	// and false for everything else.
	Unpack bool
}

// Options are how Into copies.
type Options struct {
	Chown string // user[:group], names or numbers; names are those of Accounts
	Chmod string
	// Link copies as if nothing was there before: links and files in the way
	// of the destination become directories, and what is replaced need not be
	// of the same kind.
	Link bool
	// Epoch is the time that everything from contexts gets and nothing is
	// younger than; zero: the times of the sources.
	Epoch time.Time
	// Accounts is the root whose /etc/passwd and /etc/group names are resolved
	// in; nil: the destination's.
	Accounts Directory
	// MaxBytes bounds what an archive unpacks to; 0: the default of package
	// layer.
	MaxBytes int64
}

// Directory is an open directory: an *os.File.
type Directory interface{ Fd() uintptr }

// Error is a fault of the instruction's arguments or of what they name.
type Error struct {
	What string // the source or destination
	Why  string
	Err  error // nil or the cause
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.What, e.Err)
	}
	return e.What + ": " + e.Why
}

func (e *Error) Unwrap() error { return e.Err }

func fault(what, format string, a ...any) error {
	return &Error{What: what, Why: fmt.Sprintf(format, a...)}
}

// destination is a parsed Dest.
type destination struct {
	path string // absolute and clean
	dir  bool   // named as a directory: ends in "/", "/." or is "."
}

func (a *Args) destination() (destination, error) {
	if a.Dest == "" {
		return destination{}, fault("destination", "is empty")
	}
	if strings.ContainsRune(a.Dest, 0) {
		return destination{}, fault("destination", "has a zero byte")
	}
	p := a.Dest
	if !path.IsAbs(p) {
		p = path.Join("/", a.Workdir) + "/" + p
	}
	d := destination{path: path.Clean("/" + p)}
	last := a.Dest[strings.LastIndexByte(a.Dest, '/')+1:]
	d.dir = last == "" || last == "." || last == ".." || d.path == "/"
	return d, nil
}
