package source

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Hash makes sure that the digests of entries are known, reading those files
// that the Cache does not know by their stat.
func (t *Tree) Hash(ctx context.Context, entries []*Entry) error {
	t.hashing.Lock()
	defer t.hashing.Unlock()
	var work []*Entry
	for _, e := range entries {
		if e.digest != nil {
			continue
		}
		if d, ok := t.o.Cache.lookup(t.key(e)); ok {
			e.digest = &d
			continue
		}
		work = append(work, e)
	}
	if len(work) == 0 {
		return ctx.Err()
	}
	return t.hashAll(ctx, work)
}

// hashAll reads in chunks of neighbours, so that a directory is mostly opened
// by one goroutine.
func (t *Tree) hashAll(ctx context.Context, work []*Entry) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for chunk := range slices.Chunk(work, 64) {
		g.Go(func() error {
			h := hasher{t: t, buf: make([]byte, 256<<10)}
			defer h.close()
			for _, e := range chunk {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := h.hash(e); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// Digest is of an entry's kind, mode, owner, size, content, link target and
// attributes: everything but its name and times. Hash must have been called.
func (e *Entry) Digest() [32]byte {
	if e.digest == nil {
		panic("source: digest of " + strconv.Quote(e.Path) + " before Hash")
	}
	var b [80]byte
	b[0] = byte(e.Type)
	binary.LittleEndian.PutUint32(b[4:], e.Mode)
	if e.Type == TypeLink {
		binary.LittleEndian.PutUint32(b[4:], 0o777)
	}
	binary.LittleEndian.PutUint32(b[8:], e.UID)
	binary.LittleEndian.PutUint32(b[12:], e.GID)
	if e.Type == TypeFile {
		binary.LittleEndian.PutUint64(b[16:], uint64(e.Stat.Size))
	}
	if e.Type == TypeChar || e.Type == TypeBlock {
		binary.LittleEndian.PutUint64(b[24:], e.Stat.Rdev)
	}
	copy(b[32:], e.digest[:])
	return sha256.Sum256(b[:])
}

func (t *Tree) key(e *Entry) cacheKey {
	k := cacheKey{Dev: e.Stat.Dev, Ino: e.Stat.Ino, Size: e.Stat.Size, Modified: e.Stat.Modified, Changed: e.Stat.Changed, Type: e.Type}
	if t.o.Owned {
		k.Owned = 1
	}
	return k
}

type hasher struct {
	t   *Tree
	buf []byte
	dir *os.File
	of  *Entry // whose directory dir is
}

func (h *hasher) close() {
	if h.dir != nil {
		h.dir.Close()
	}
}

// enter opens the directory that e is in.
func (h *hasher) enter(e *Entry) (*os.File, error) {
	if h.dir != nil && h.of == e.parent {
		return h.dir, nil
	}
	h.close()
	h.dir, h.of = nil, nil
	dir, err := h.t.OpenDir(e.parent)
	if err != nil {
		return nil, err
	}
	h.dir, h.of = dir, e.parent
	return dir, nil
}

func (h *hasher) hash(e *Entry) error {
	began := time.Now().UnixNano()
	sum := sha256.New()
	var err error
	switch e.Type {
	case TypeFile:
		err = h.file(e, sum)
	case TypeDir:
		err = h.directory(e, sum)
	case TypeLink:
		err = h.link(e, sum)
	}
	if err != nil {
		return err
	}
	var d [32]byte
	sum.Sum(d[:0])
	e.digest = &d
	if settled(e, began) {
		h.t.o.Cache.store(h.t.key(e), d)
	}
	return nil
}

// settled says whether a change after now would show in the entry's times:
// clocks of file systems tick every few milliseconds, some every two seconds.
// What is younger is read again next time, as git does with its index.
func settled(e *Entry, now int64) bool {
	tick := int64(100 * time.Millisecond)
	if e.Stat.Modified%int64(time.Second) == 0 && e.Stat.Changed%int64(time.Second) == 0 {
		tick = int64(3 * time.Second)
	}
	return e.Stat.Changed+tick < now
}

func (h *hasher) file(e *Entry, sum hash.Hash) error {
	dir, err := h.enter(e)
	if err != nil {
		return err
	}
	fd, err := h.t.OpenAt(dir, e)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := h.xattrs(fd, sum); err != nil {
		return h.t.fault("read attributes of", e.Path, err)
	}
	for {
		n, err := unix.Read(fd, h.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return h.t.fault("read", e.Path, err)
		}
		if n == 0 {
			break
		}
		sum.Write(h.buf[:n])
	}
	return h.t.Unchanged(fd, e)
}

func (h *hasher) directory(e *Entry, sum hash.Hash) error {
	dir, err := h.t.OpenDir(e)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := h.xattrs(int(dir.Fd()), sum); err != nil {
		return h.t.fault("read attributes of", e.Path, err)
	}
	return nil
}

func (h *hasher) link(e *Entry, sum hash.Hash) error {
	dir, err := h.enter(e)
	if err != nil {
		return err
	}
	target, err := readlinkat(int(dir.Fd()), e.Name)
	if err != nil {
		return h.t.fault("read link", e.Path, err)
	}
	io.WriteString(sum, target)
	return nil
}

func (h *hasher) xattrs(fd int, sum hash.Hash) error {
	attrs, err := h.t.Xattrs(fd)
	if err != nil {
		return err
	}
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(attrs)))
	sum.Write(n[:])
	for _, a := range attrs {
		for _, s := range []string{a.Name, a.Value} {
			binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
			sum.Write(n[:])
			io.WriteString(sum, s)
		}
	}
	return nil
}

// Xattr is an extended attribute.
type Xattr struct{ Name, Value string }

// Xattrs are the attributes of an open file or directory of the Tree that an
// image keeps, by name.
func (t *Tree) Xattrs(fd int) ([]Xattr, error) { return listXattrs(fd, t.o.Owned) }

// Xattrs are the same of what is part of an image already.
func Xattrs(fd int) ([]Xattr, error) { return listXattrs(fd, true) }

func listXattrs(fd int, owned bool) ([]Xattr, error) {
	var small [256]byte
	list := small[:]
	n, err := unix.Flistxattr(fd, list)
	for err == unix.ERANGE {
		if n, err = unix.Flistxattr(fd, nil); err != nil {
			break
		}
		list = make([]byte, n+64)
		n, err = unix.Flistxattr(fd, list)
	}
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Xattr
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if !keeps(name, owned) {
			continue
		}
		value, ok, err := getxattr(fd, name)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, Xattr{name, value})
		}
	}
	slices.SortFunc(out, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func getxattr(fd int, name string) (value string, ok bool, err error) {
	buf := make([]byte, 1024)
	for {
		n, err := unix.Fgetxattr(fd, name, buf)
		switch err {
		case nil:
			return string(buf[:n]), true, nil
		case unix.ERANGE:
			if len(buf) > 64<<10 {
				return "", false, err
			}
			buf = make([]byte, 64<<10+1)
		case unix.ENODATA, unix.ENOTSUP:
			return "", false, nil
		default:
			return "", false, err
		}
	}
}

// keeps drops what speaks to a host rather than to an image: overlayfs' own
// attributes, security labels, and in contexts all but capabilities and the
// user's.
func keeps(name string, owned bool) bool {
	switch {
	case strings.HasPrefix(name, "trusted.overlay."), strings.HasPrefix(name, "user.overlay."):
		return false
	case name == "security.capability":
		return true
	case strings.HasPrefix(name, "security."):
		return false
	case strings.HasPrefix(name, "user."):
		return true
	}
	return owned
}
