package notify

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/watch"
)

// lstat looks at a path.
func lstat(path string) (meta, error) {
	var st unix.Stat_t
	for {
		if err := unix.Lstat(path, &st); err != unix.EINTR {
			return metaOf(&st), err
		}
	}
}

// lstatAt looks at a name in an open directory.
func lstatAt(dir *os.File, name string) (meta, error) {
	var st unix.Stat_t
	for {
		if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != unix.EINTR {
			return metaOf(&st), err
		}
	}
}

func metaOf(st *unix.Stat_t) meta {
	m := meta{mode: uint16(st.Mode & 0o7777), size: st.Size}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		m.kind = watch.File
	case unix.S_IFDIR:
		m.kind = watch.Dir
		return m
	case unix.S_IFLNK:
		m.kind = watch.Symlink
	default:
		return m
	}
	mtime, ctime := st.Mtim.Nano(), st.Ctim.Nano()
	m.changed = time.Unix(0, max(mtime, ctime))
	m.stat = fingerprint(uint64(st.Size), uint64(mtime), uint64(ctime), st.Ino)
	return m
}

// openFile opens a regular file for reading: no link is followed, and no pipe
// waited for.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

// idOf is what stays with a file when it is renamed.
func idOf(info os.FileInfo) fileID {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{st.Dev, st.Ino}
	}
	return fileID{}
}

// beingWritten says whether somebody has a file open for writing: then the
// kernel refuses a read lease (fcntl(2)). Where it knows no leases, or gives
// them to the owner only, nobody seems to.
func beingWritten(path string) bool {
	f, err := openFile(path)
	if err != nil {
		return false
	}
	defer f.Close()
	if _, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return err == unix.EAGAIN
}
