package snapshot

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/image"
	"devstack/engine/image/layer"
)

// Sub gives the directories that make up the tree below subpath of an image,
// the topmost first: the lower layers of an overlay, or one plain directory.
// No part of subpath may be a symbolic link.
func Sub(dataRoot string, img image.Image, subpath string) ([]string, error) {
	dirs, _, err := lowers(dataRoot, img)
	clean := strings.TrimPrefix(path.Clean("/"+subpath), "/")
	if err != nil || clean == "" {
		return dirs, err
	}
	var out []string
	for _, dir := range dirs {
		below, last, err := descend(dir, strings.Split(clean, "/"))
		if err != nil {
			return nil, fmt.Errorf("subpath %s of image %s: %w", subpath, img.Ref, err)
		}
		if below != "" {
			out = append(out, below)
		}
		if last {
			break
		}
	}
	if out == nil {
		return nil, fmt.Errorf("image %s has no directory %s", img.Ref, subpath)
	}
	return out, nil
}

// descend follows parts below a layer. below is "" where the layer does not
// have the directory; last tells that it hides what lower layers have there.
func descend(dir string, parts []string) (below string, last bool, err error) {
	at := dir
	for _, part := range parts {
		at = filepath.Join(at, part)
		var st unix.Stat_t
		switch err := unix.Lstat(at, &st); {
		case err == unix.ENOENT:
			return "", last, nil
		case err != nil:
			return "", false, &os.PathError{Op: "stat", Path: at, Err: err}
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
		case unix.S_IFCHR: // a whiteout
			return "", true, nil
		default:
			return "", false, fmt.Errorf("%s is not a directory", part)
		}
		last = last || layer.IsOpaque(at)
	}
	return at, last, nil
}
