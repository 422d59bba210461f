package layer

import (
	"strings"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh." // AUFS' own files
	whiteoutOpaque = ".wh..wh..opq"
)

// maxPath is PATH_MAX: no program could open what has a longer name.
const maxPath = 4096

// cleanName turns a name of the archive into a path relative to the root of
// the tree, "" for the root itself. A leading slash is tolerated, since some
// builders write one, and means that root.
func cleanName(name string) (string, error) {
	if len(name) >= maxPath {
		return "", refuse(name[:40]+"...", "has a name of %d bytes", len(name))
	}
	if !strings.Contains(name, "//") && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "/") &&
		!strings.Contains(name, "/.") {
		return strings.TrimSuffix(name, "/"), nil // almost every name
	}
	parts := make([]string, 0, strings.Count(name, "/")+1)
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", refuse(name, "leaves the layer through \"..\"")
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), nil
}

// split separates a clean path into its directory ("" for the root) and name.
func split(path string) (dir, base string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// marker is what a name says about lower layers.
type marker int

const (
	ordinary marker = iota
	whiteout        // hides target
	opaque          // hides everything in its directory
	ignored         // AUFS' bookkeeping
)

// classify tells markers from ordinary entries; target is the hidden path.
func classify(path, name string) (m marker, target string, err error) {
	if !strings.Contains(path, whiteoutPrefix) {
		return ordinary, path, nil
	}
	dir, base := split(path)
	for part := range strings.SplitSeq(dir, "/") {
		if strings.HasPrefix(part, whiteoutMeta) {
			return ignored, "", nil
		}
		if strings.HasPrefix(part, whiteoutPrefix) {
			return 0, "", refuse(name, "lies beneath a whiteout")
		}
	}
	hidden, ok := strings.CutPrefix(base, whiteoutPrefix)
	switch {
	case !ok:
		return ordinary, path, nil
	case base == whiteoutOpaque:
		return opaque, dir, nil
	case strings.HasPrefix(base, whiteoutMeta):
		return ignored, "", nil
	case hidden == "" || hidden == "." || hidden == "..":
		return 0, "", refuse(name, "is a whiteout of a parent directory")
	}
	return whiteout, join(dir, hidden), nil
}

func join(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + "/" + base
}
