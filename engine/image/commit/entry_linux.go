package commit

import (
	"archive/tar"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/image/layer"
)

const paxXattr = "SCHILY.xattr."

// header describes an entry; users and groups by number only.
func (w *walker) header(st *unix.Stat_t, name string, kind byte) *tar.Header {
	return &tar.Header{
		Typeflag: kind, Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(w.seconds(st), 0), Format: tar.FormatPAX,
	}
}

// seconds is the time an entry has in the layer.
func (w *walker) seconds(st *unix.Stat_t) int64 {
	if !w.o.Epoch.IsZero() {
		return min(st.Mtim.Sec, w.o.Epoch.Unix())
	}
	return st.Mtim.Sec
}

// settle gives an entry of a tree that becomes the layer the time it has
// there, so that the next step sees the same everywhere.
func (w *walker) settle(dirfd int, st *unix.Stat_t, path, name string) error {
	want := unix.Timespec{Sec: w.seconds(st)}
	if w.o.Keep || st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Mtim == want {
		return nil
	}
	ts := []unix.Timespec{want, want}
	if err := unix.UtimesNanoAt(dirfd, name, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "set times of", Path: path, Err: err}
	}
	return nil
}

// attrCalls are the system calls for the extended attributes of one file.
type attrCalls struct {
	list   func([]byte) (int, error)
	get    func(string, []byte) (int, error)
	remove func(string) error
}

func fdAttrs(fd int) attrCalls {
	return attrCalls{
		func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		func(n string, b []byte) (int, error) { return unix.Fgetxattr(fd, n, b) },
		func(n string) error { return unix.Fremovexattr(fd, n) },
	}
}

// pathAttrs is for what cannot be opened; there is no *at form.
func pathAttrs(dirfd int, name string) attrCalls {
	path := "/proc/self/fd/" + strconv.Itoa(dirfd) + "/" + name
	return attrCalls{
		func(b []byte) (int, error) { return unix.Llistxattr(path, b) },
		func(n string, b []byte) (int, error) { return unix.Lgetxattr(path, n, b) },
		func(n string) error { return unix.Lremovexattr(path, n) },
	}
}

// attributes are what a file's extended attributes mean to a layer.
type attributes struct {
	keep   map[string]string // PAX records; nil mostly
	opaque bool
}

func (w *walker) attributes(a attrCalls, path string) (attributes, error) {
	fail := func(op string, err error) (attributes, error) {
		return attributes{}, &os.PathError{Op: op, Path: path, Err: err}
	}
	// names and values share the buffer for content, which is free now and
	// larger than the kernel's limits of 64 KiB each.
	n, err := a.list(w.buf[:64<<10])
	if n == 0 || err == unix.ENOTSUP {
		return attributes{}, nil
	}
	if err != nil {
		return fail("list attributes of", err)
	}
	var out attributes
	for name := range strings.SplitSeq(strings.TrimSuffix(string(w.buf[:n]), "\x00"), "\x00") {
		switch {
		case !w.o.Plain && strings.HasPrefix(name, "trusted.overlay."):
			opaque, err := w.overlayAttribute(a, name, path)
			if err != nil {
				return attributes{}, err
			}
			out.opaque = out.opaque || opaque
			continue
		case !belongs(name):
			continue
		}
		n, err := a.get(name, w.buf[64<<10:])
		if err == unix.ENODATA {
			continue
		}
		if err != nil {
			return fail("read attribute "+name+" of", err)
		}
		if out.keep == nil {
			out.keep = map[string]string{}
		}
		out.keep[paxXattr+name] = string(w.buf[64<<10 : 64<<10+n])
	}
	return out, nil
}

// overlayAttribute tells what overlayfs notes in its upper directory, and
// removes what means nothing in a lower one.
func (w *walker) overlayAttribute(a attrCalls, name, path string) (opaque bool, err error) {
	switch name {
	case layer.OpaqueXattr:
		n, err := a.get(name, w.buf[64<<10:])
		return n == 1 && w.buf[64<<10] == 'y', ignoreNoData(err)
	case "trusted.overlay.redirect", "trusted.overlay.metacopy":
		return false, &layer.RefusedError{Entry: path, Reason: "lies in another layer in part: the overlay was mounted with redirect_dir or metacopy"}
	}
	if w.o.Keep {
		return false, nil
	}
	return false, ignoreNoData(a.remove(name))
}

func ignoreNoData(err error) error {
	if err == unix.ENODATA {
		return nil
	}
	return err
}

// belongs says whether an attribute is the image's rather than this host's.
func belongs(name string) bool {
	switch {
	case name == "security.capability", name == "system.posix_acl_access", name == "system.posix_acl_default":
		return true
	case strings.HasPrefix(name, "user."):
		return !strings.HasPrefix(name, "user.overlay.")
	case strings.HasPrefix(name, "trusted."):
		return !strings.HasPrefix(name, "trusted.overlay.")
	}
	return false
}
