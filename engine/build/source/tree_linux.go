package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/build/ignore"
)

// Tree is a read-only view of a directory. It may be used by several
// goroutines and must be closed.
type Tree struct {
	name     string
	root     *os.File
	o        Options
	ignore   *ignore.Matcher
	single   string       // of a URL: what its one file is called
	cleanup  func() error // nil: nothing to remove
	revision string       // the commit, of a git tree
	when     time.Time

	mu  sync.Mutex // the index: entries and what they have read
	top *Entry

	hashing sync.Mutex // one batch of digests at a time
}

// FromRoot is a Tree of an open directory: the root of an image, a stage, or
// a plain directory. It takes the file over, also when it fails.
func FromRoot(root *os.File, o Options) (*Tree, error) {
	if o.Name == "" {
		o.Name = root.Name()
	}
	t := &Tree{name: o.Name, root: root, o: o, ignore: o.Ignore}
	var st unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &st); err != nil {
		root.Close()
		return nil, fmt.Errorf("open %s: %w", o.Name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		root.Close()
		return nil, fmt.Errorf("open %s: it is not a directory", o.Name)
	}
	t.top = t.entry("", "", &st)
	return t, nil
}

// Close gives the directory back, and removes what was unpacked for it.
func (t *Tree) Close() error {
	err := t.root.Close()
	if t.cleanup != nil {
		err = errors.Join(err, t.cleanup())
	}
	return err
}

// Revision is the commit that a git tree is of, and its time; "" for others.
func (t *Tree) Revision() (commit string, when time.Time) { return t.revision, t.when }

// Ignores says whether the ignore file leaves a path out of the Tree.
func (t *Tree) Ignores(path string) bool {
	ignored, err := t.ignore.Ignores(path)
	return err == nil && ignored
}

// Name is what errors call the Tree.
func (t *Tree) Name() string { return t.name }

// Single is the name of the file that the Tree is, if it is the content of a
// URL and not a directory; "" otherwise.
func (t *Tree) Single() string { return t.single }

// Owned says whether owners and times of the entries mean something.
func (t *Tree) Owned() bool { return t.o.Owned }

// Dated says whether the times of entries mean something: those of a clone or
// of a developer's directory do not.
func (t *Tree) Dated() bool { return t.o.Owned || t.single != "" }

// Parent is the directory of an entry, nil for the root.
func (t *Tree) Parent(e *Entry) *Entry { return e.parent }

// Root is the entry of the whole Tree.
func (t *Tree) Root() *Entry { return t.top }

// File is the directory itself, open for reading; it stays the Tree's.
func (t *Tree) File() *os.File { return t.root }

func (t *Tree) entry(path, name string, st *unix.Stat_t) *Entry {
	e := &Entry{
		Path: path, Name: name, Mode: st.Mode & 0o7777,
		Stat: Stat{
			Dev: uint64(st.Dev), Ino: st.Ino, Links: uint64(st.Nlink), Rdev: uint64(st.Rdev), Size: st.Size, Blocks: st.Blocks,
			Accessed: st.Atim.Nano(), Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano(),
		},
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Type = TypeFile
	case unix.S_IFDIR:
		e.Type = TypeDir
	case unix.S_IFLNK:
		e.Type = TypeLink
	case unix.S_IFIFO:
		e.Type = TypeFifo
	case unix.S_IFCHR:
		e.Type = TypeChar
	case unix.S_IFBLK:
		e.Type = TypeBlock
	case unix.S_IFSOCK:
		e.Type = TypeSocket
	}
	if t.o.Owned {
		e.UID, e.GID = st.Uid, st.Gid
	}
	if t.o.PlainModes {
		e.Mode = plainMode(e)
	}
	return e
}

func plainMode(e *Entry) uint32 {
	if e.Type == TypeDir || e.Mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// same says whether an inode is still the one that the index saw. Reading it
// changes the time of access only.
func (e *Entry) same(st *unix.Stat_t) bool {
	return uint64(st.Dev) == e.Stat.Dev && st.Ino == e.Stat.Ino && st.Size == e.Stat.Size &&
		st.Mtim.Nano() == e.Stat.Modified && st.Ctim.Nano() == e.Stat.Changed
}

// sameDir is same for a directory that files may be added to meanwhile: they
// do not belong to what the build sees.
func (e *Entry) sameDir(st *unix.Stat_t) bool {
	return uint64(st.Dev) == e.Stat.Dev && st.Ino == e.Stat.Ino
}

// OpenDir opens the directory of an entry, following nothing.
func (t *Tree) OpenDir(e *Entry) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	path := e.Path
	if path == "" {
		path = "."
	}
	fd, err := openat2(int(t.root.Fd()), path, &how)
	switch err {
	case nil:
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		return nil, &ChangedError{t.name, e.Path}
	default:
		return nil, t.fault("open", e.Path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || !e.sameDir(&st) {
		unix.Close(fd)
		return nil, &ChangedError{t.name, e.Path}
	}
	return os.NewFile(uintptr(fd), e.Name), nil
}

// OpenAt opens the file e in its directory, following nothing.
func (t *Tree) OpenAt(dir *os.File, e *Entry) (int, error) {
	if e.Type != TypeFile {
		return -1, &RefusedError{t.name, e.Path, "is a " + e.Type.String()}
	}
	fd, err := unix.Openat(int(dir.Fd()), e.Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.ENOENT, unix.ELOOP, unix.ENXIO:
		return -1, &ChangedError{t.name, e.Path}
	default:
		return -1, t.fault("open", e.Path, err)
	}
	if err := t.Unchanged(fd, e); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Open is OpenAt without a directory at hand.
func (t *Tree) Open(e *Entry) (*os.File, error) {
	if e.parent == nil {
		return nil, &RefusedError{t.name, e.Path, "is a " + e.Type.String()}
	}
	dir, err := t.OpenDir(e.parent)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := t.OpenAt(dir, e)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), e.Name), nil
}

// Unchanged says whether an open file is still what the index saw; to be
// asked again after its content was read.
func (t *Tree) Unchanged(fd int, e *Entry) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return t.fault("stat", e.Path, err)
	}
	if !e.same(&st) {
		return &ChangedError{t.name, e.Path}
	}
	return nil
}

// Target is what a symbolic link says.
func (t *Tree) Target(e *Entry) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.readTarget(e)
}

func (t *Tree) readTarget(e *Entry) (string, error) {
	if e.target != nil {
		return *e.target, nil
	}
	dir, err := t.OpenDir(e.parent)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	target, err := readlinkat(int(dir.Fd()), e.Name)
	if err != nil {
		return "", t.fault("read link", e.Path, err)
	}
	e.target = &target
	return target, nil
}

// TargetAt is Target for a link whose directory is open.
func (t *Tree) TargetAt(dir *os.File, e *Entry) (string, error) {
	target, err := readlinkat(int(dir.Fd()), e.Name)
	if err != nil {
		return "", t.fault("read link", e.Path, err)
	}
	return target, nil
}

func readlinkat(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax+1)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func (t *Tree) fault(op, path string, err error) error {
	return fmt.Errorf("%s %q of %s: %w", op, path, t.name, err)
}

// bare takes the path that os adds off an error: it is this host's.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func openat2(dir int, path string, how *unix.OpenHow) (int, error) {
	for {
		fd, err := unix.Openat2(dir, path, how)
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		return fd, err
	}
}

// ReadFile reads a file of the Tree whether it is ignored or not, as the
// Dockerfile is, following links as far as they stay inside. A missing file is
// fs.ErrNotExist.
func (t *Tree) ReadFile(path string, limit int64) ([]byte, error) {
	path = strings.TrimLeft(path, "/")
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := openat2(int(t.root.Fd()), path, &how)
	if err != nil {
		return nil, t.fault("open", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, t.fault("stat", path, bare(err))
	}
	if !st.Mode().IsRegular() {
		return nil, &RefusedError{t.name, path, "is no regular file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, t.fault("read", path, bare(err))
	}
	if int64(len(data)) > limit {
		return nil, &RefusedError{t.name, path, fmt.Sprintf("is larger than %d bytes", limit)}
	}
	return data, nil
}
