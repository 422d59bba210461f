package supervise

import (
	"fmt"
	"os"
	"path"
	"strings"

	"devstack/engine/image/snapshot"
)

// Root opens the container's root directory, for reading and writing. That of
// a running container shows what it mounts, too. Every path below it must be
// resolved inside it.
func (u *Unit) Root() (root *os.File, running bool, err error) {
	if c := u.Process(); c != nil {
		f, err := os.Open(rootOf(c) + "/.")
		switch {
		case err == nil && u.Process() == c: // the number was still the container's
			return f, true, nil
		case err == nil:
			f.Close()
		}
		return nil, false, fmt.Errorf("container %s ended just now", u.name)
	}
	rec := u.Record()
	s, err := snapshot.Open(u.m.Roots.Data, rec.ID, rec.Image)
	if err != nil {
		return nil, false, err
	}
	root, err = snapshot.ViewSnapshot(s, !rec.Declared.ReadOnly)
	return root, false, err
}

// MountedAt is the target of the mount that file lies in, or "".
func (u *Unit) MountedAt(file string) string {
	rec := u.Record()
	var targets []string
	for _, m := range rec.Declared.Volumes {
		targets = append(targets, m.Target)
	}
	for _, entry := range rec.Declared.Tmpfs {
		target, _, _ := strings.Cut(entry, ":")
		targets = append(targets, target)
	}
	for target := range rec.Anonymous {
		targets = append(targets, target)
	}
	for _, t := range targets {
		if t = path.Clean(t); file == t || strings.HasPrefix(file, strings.TrimSuffix(t, "/")+"/") {
			return t
		}
	}
	return ""
}
