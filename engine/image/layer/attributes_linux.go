package layer

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// procPath names an entry of an open directory for the calls that have no
// *at form.
func procPath(fd int, base string) string {
	return "/proc/self/fd/" + strconv.Itoa(fd) + "/" + base
}

// setXattrs ignores attributes that the file system here cannot hold, save
// capabilities: a program without them works differently.
func setXattrs(m meta, set func(name string, value []byte) error) error {
	for name, value := range m.xattrs {
		err := set(name, []byte(value))
		ignorable := errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM)
		if err != nil && !(ignorable && !strings.HasPrefix(name, "security.capability")) {
			return &os.PathError{Op: "set attribute " + name, Path: "", Err: err}
		}
	}
	return nil
}

func timespecs(m meta) [2]unix.Timespec {
	return [2]unix.Timespec{
		{Sec: m.atime.Unix(), Nsec: int64(m.atime.Nanosecond())},
		{Sec: m.mtime.Unix(), Nsec: int64(m.mtime.Nanosecond())},
	}
}

func setTimesAt(dirfd int, base string, m meta) error {
	ts := timespecs(m)
	return unix.UtimesNanoAt(dirfd, base, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}
