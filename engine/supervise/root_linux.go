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
// resolved inside it. A container that does not run cannot be started until
// release is called, which closes root.
func (u *Unit) Root() (root *os.File, running bool, release func(), err error) {
	if root, err = u.runningRoot(); root != nil || err != nil {
		return root, true, func() { root.Close() }, err
	}
	unlock := u.lockStill()
	// It may have been started while this waited.
	if root, err = u.runningRoot(); root != nil || err != nil {
		unlock()
		return root, true, func() { root.Close() }, err
	}
	rec := u.Record()
	s, err := snapshot.Open(u.m.Roots.Data, rec.ID, rec.Image)
	if err == nil {
		root, err = snapshot.ViewSnapshot(s, !rec.Declared.ReadOnly)
	}
	if err != nil {
		unlock()
		return nil, false, nil, err
	}
	return root, false, func() {
		root.Close()
		unlock()
	}, nil
}

// runningRoot is nil where no process has the root.
func (u *Unit) runningRoot() (*os.File, error) {
	c := u.Process()
	if c == nil {
		return nil, nil
	}
	f, err := os.Open(rootOf(c) + "/.")
	if err == nil && u.Process() == c { // the number was still the container's
		return f, nil
	}
	if err == nil {
		f.Close()
	}
	return nil, fmt.Errorf("container %s ended just now", u.name)
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
