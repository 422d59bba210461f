package layer

import (
	"container/list"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// dirCacheSize bounds the open directories of one tree. Archives are mostly
// written depth first, so few are in use at a time.
const dirCacheSize = 64

// dirCache keeps the directories that entries are being put into open. A
// directory's times are set when it leaves the cache, after its last entry;
// one that is opened again gets the times back that it had. So the memory it
// takes does not grow with the layer.
type dirCache struct {
	root *dirHandle
	byID map[string]*list.Element
	used *list.List // of *dirHandle, the latest first
	last *dirHandle
	err  error // of an eviction
}

type dirHandle struct {
	path         string
	fd           int
	setgid       bool // new entries inherit its group
	touched      bool // its times must be put back
	atime, mtime unix.Timespec
}

func newDirCache(root int) (*dirCache, error) {
	r := &dirHandle{fd: root}
	if err := r.stat(); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	return &dirCache{root: r, last: r, byID: map[string]*list.Element{}, used: list.New()}, nil
}

func (d *dirHandle) stat() error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return err
	}
	d.setgid = st.Mode&unix.S_ISGID != 0
	d.atime, d.mtime = st.Atim, st.Mtim
	return nil
}

func (d *dirHandle) setTimes(m meta) {
	ts := timespecs(m)
	d.atime, d.mtime, d.touched = ts[0], ts[1], true
}

// open reaches path from the root; links inside the tree are followed as long
// as they stay there. Errors are bare errnos.
func (c *dirCache) open(path string) (*dirHandle, error) {
	if path == "" {
		return c.root, nil
	}
	if c.last.path == path {
		return c.last, nil
	}
	if e, ok := c.byID[path]; ok {
		c.used.MoveToFront(e)
		c.last = e.Value.(*dirHandle)
		return c.last, nil
	}
	fd, err := openBeneath(c.root.fd, path)
	if err != nil {
		return nil, err
	}
	return c.add(path, fd)
}

// openChild is open for a directory that is known to be at base in d.
func (c *dirCache) openChild(d *dirHandle, path, base string) (*dirHandle, error) {
	if e, ok := c.byID[path]; ok {
		c.used.MoveToFront(e)
		c.last = e.Value.(*dirHandle)
		return c.last, nil
	}
	fd, err := unix.Openat(d.fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return c.add(path, fd)
}

func (c *dirCache) add(path string, fd int) (*dirHandle, error) {
	d := &dirHandle{path: path, fd: fd}
	if err := d.stat(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	for c.used.Len() >= dirCacheSize {
		c.evict(c.used.Back())
	}
	c.byID[path] = c.used.PushFront(d)
	c.last = d
	return d, nil
}

func (c *dirCache) evict(e *list.Element) {
	d := c.used.Remove(e).(*dirHandle)
	delete(c.byID, d.path)
	if err := d.close(); c.err == nil {
		c.err = err
	}
}

func (d *dirHandle) close() error {
	var err error
	if d.touched {
		ts := [2]unix.Timespec{d.atime, d.mtime}
		err = unix.UtimesNanoAt(d.fd, ".", ts[:], unix.AT_SYMLINK_NOFOLLOW)
	}
	unix.Close(d.fd)
	return err
}

// forget closes every handle: names may mean other directories now.
func (c *dirCache) forget() {
	for c.used.Len() > 0 {
		c.evict(c.used.Back())
	}
	c.last = c.root
}

func (c *dirCache) Close() error {
	c.forget()
	if err := errors.Join(c.err, c.root.close()); err != nil {
		return os.NewSyscallError("set times of a directory", err)
	}
	return nil
}

// openBeneath resolves path inside root.
func openBeneath(root int, path string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	for {
		fd, err := unix.Openat2(root, path, &how)
		if err == unix.EAGAIN || err == unix.EINTR { // a rename elsewhere raced with ".."
			continue
		}
		return fd, err
	}
}
