package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// A group's path ends in three names of ours, ROOT/PROJECT/CONTAINER. What
// stands before them is a parent that the user has chosen (cgroup_parent): it
// may be his own, with limits of his, and must stay when it is empty. Those
// that had to be made carry a mark and go with the last group below them.
const ownLevels = 3

// marks are the extended attributes that say who made a group: the first one
// needs root, the second one cgroup v2.
func marks() []string { return []string{"trusted.devstack", "user.devstack"} }

// parentsOf are the groups above our own, from the top.
func parentsOf(path string) []string {
	for range ownLevels {
		path = filepath.Dir(path)
	}
	return levelsOf(path)
}

// levelsOf are the groups on the way to path, with itself, from the top.
func levelsOf(path string) []string {
	var out []string
	for ; path != "/"; path = filepath.Dir(path) {
		out = append(out, path)
	}
	slices.Reverse(out)
	return out
}

// makeLevels makes the groups of path that are not there, and marks those that
// are parents: each by itself, because another one's Remove may take a marked
// parent away meanwhile, and one made in passing would never go.
func makeLevels(h *hierarchy, path string) error {
	err := os.Mkdir(h.dir+path, 0o755) // all but the first container of a project have their parents
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	parents := parentsOf(path)
	for _, p := range levelsOf(path) {
		err := os.Mkdir(h.dir+p, 0o755)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !slices.Contains(parents, p) {
			continue
		}
		for _, name := range marks() { // without it, it stays: no harm
			if unix.Setxattr(h.dir+p, name, []byte("made"), 0) == nil {
				break
			}
		}
	}
	return nil
}

func marked(dir string) bool {
	return slices.ContainsFunc(marks(), func(name string) bool {
		n, err := unix.Getxattr(dir, name, nil)
		return err == nil && n > 0
	})
}
