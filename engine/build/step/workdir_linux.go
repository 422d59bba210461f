package step

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/spec"
)

// MakeDir makes a directory inside a merged root with what is missing above
// it, as WORKDIR does: 0755, what it makes belongs to user.
func MakeDir(root *os.File, dir, user string) error {
	who, err := ResolveUser(root, user)
	if err != nil {
		return err
	}
	at := "/"
	for name := range strings.SplitSeq(strings.Trim(path.Clean(dir), "/"), "/") {
		parent, err := openInside(root, at, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return fmt.Errorf("make directory %s: %w", dir, err)
		}
		err = makeOne(root, parent, path.Join(at, name), name, who)
		parent.Close()
		if err != nil {
			return fmt.Errorf("make directory %s: %w", dir, err)
		}
		at = path.Join(at, name)
	}
	return nil
}

func makeOne(root, parent *os.File, at, name string, who spec.User) error {
	f, err := openInside(root, at, unix.O_PATH|unix.O_DIRECTORY)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch err := unix.Mkdirat(int(parent.Fd()), name, 0o755); err {
	case nil:
	case unix.EEXIST: // a link to nowhere, or somebody else was faster: caches are shared
		f, err := openInside(root, at, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		return f.Close()
	default:
		return os.NewSyscallError("mkdirat", err)
	}
	if err := unix.Fchmodat(int(parent.Fd()), name, 0o755, 0); err != nil { // past the umask
		return os.NewSyscallError("fchmodat", err)
	}
	return os.NewSyscallError("fchownat", unix.Fchownat(int(parent.Fd()), name, int(who.UID), int(who.GID), unix.AT_SYMLINK_NOFOLLOW))
}

// maxAccounts bounds what is read of a root's account files, in bytes.
const maxAccounts = 4 << 20

// ResolveUser finds out who a user of a root is, in numbers.
func ResolveUser(root *os.File, user string) (spec.User, error) {
	if !spec.NeedsAccounts(user, nil) {
		return spec.ResolveUser(user, nil, spec.Accounts{})
	}
	return spec.ResolveUser(user, nil, spec.Accounts{
		Passwd: readInside(root, "/etc/passwd"), Group: readInside(root, "/etc/group"),
	})
}

// readInside reads a file of a root; what cannot be read counts as empty.
func readInside(root *os.File, name string) []byte {
	f, err := openInside(root, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil
	}
	b, _ := io.ReadAll(io.LimitReader(f, maxAccounts))
	return b
}
