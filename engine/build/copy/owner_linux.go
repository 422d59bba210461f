package copy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxAccounts bounds the files of accounts that are read.
const maxAccounts = 10 << 20

// owner resolves --chown, -1 without.
func owner(root *os.File, o Options) (uid, gid int, err error) {
	if o.Chown == "" {
		return -1, -1, nil
	}
	in := int(root.Fd())
	if o.Accounts != nil {
		in = int(o.Accounts.Fd())
	}
	user, group, both := strings.Cut(o.Chown, ":")
	if uid, gid, err = lookupUser(in, user); err == nil && both && group != "" {
		gid, err = lookupGroup(in, group)
	}
	if err != nil {
		return -1, -1, fmt.Errorf("--chown=%s: %w", o.Chown, err)
	}
	return uid, gid, nil
}

// lookupUser gives a number the group of the same number, and a name the
// group that /etc/passwd says.
func lookupUser(root int, user string) (uid, gid int, err error) {
	if user == "" {
		return 0, 0, nil
	}
	if n, ok := number32(user); ok {
		return n, n, nil
	}
	fields, err := account(root, "etc/passwd", user, 4)
	if err != nil {
		return 0, 0, fmt.Errorf("user %q: %w", user, err)
	}
	uid, ok1 := number32(fields[2])
	gid, ok2 := number32(fields[3])
	if !ok1 || !ok2 {
		return 0, 0, fmt.Errorf("user %q has no numbers in /etc/passwd", user)
	}
	return uid, gid, nil
}

func lookupGroup(root int, group string) (int, error) {
	if n, ok := number32(group); ok {
		return n, nil
	}
	fields, err := account(root, "etc/group", group, 3)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", group, err)
	}
	gid, ok := number32(fields[2])
	if !ok {
		return 0, fmt.Errorf("group %q has no number in /etc/group", group)
	}
	return gid, nil
}

func number32(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}

// account finds the line of a name in passwd(5) or group(5).
func account(root int, file, name string, fields int) ([]string, error) {
	data, err := readAccounts(root, file)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, fmt.Errorf("there is no /%s to find it in (use a number)", file)
	}
	if err != nil {
		return nil, err
	}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if f[0] == name && len(f) >= fields {
			return f, nil
		}
	}
	return nil, fmt.Errorf("it is not in /%s", file)
}

func readAccounts(root int, file string) ([]byte, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(root, file, &how)
	if err != nil {
		return nil, fmt.Errorf("open /%s: %w", file, err)
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() > maxAccounts {
		return nil, fmt.Errorf("/%s is no regular file of at most %d MiB", file, maxAccounts>>20)
	}
	return io.ReadAll(io.LimitReader(f, maxAccounts))
}
