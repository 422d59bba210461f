package commit

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/image/layer"
)

// existsBelow says whether the merged view of lower directories, the topmost
// first, has something at path.
func existsBelow(lower []string, path string) bool {
	_, ok := below(lower, path)
	return ok
}

// isDirBelow says whether it has a directory there.
func isDirBelow(lower []string, path string) bool {
	st, ok := below(lower, path)
	return ok && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

func below(lower []string, path string) (unix.Stat_t, bool) {
	for _, dir := range lower {
		st, found, hides := look(dir, path)
		if found || hides {
			return st, found
		}
	}
	return unix.Stat_t{}, false
}

// look searches one layer; hides says that those beneath it do not count.
func look(dir, path string) (st unix.Stat_t, found, hides bool) {
	at := dir
	for part := range strings.SplitSeq(path, "/") {
		at = filepath.Join(at, part)
		if err := unix.Lstat(at, &st); err != nil {
			return st, false, hides
		}
		switch {
		case layer.IsWhiteout(&st):
			return st, false, true
		case len(at)-len(dir) > len(path):
			return st, true, false
		case st.Mode&unix.S_IFMT != unix.S_IFDIR:
			return st, false, true
		}
		hides = hides || layer.IsOpaque(at)
	}
	return st, true, false
}
