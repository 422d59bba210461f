package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Diff compares two trees file by file: kinds, permissions, content and where
// symlinks lead. Each difference is a line; none is nil. skip leaves out paths
// (relative, with "/"), directories with all that is in them; it may be nil.
func Diff(host, target string, skip func(rel string) bool) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	walk := func(root string, visit func(rel string, d fs.DirEntry) error) error {
		// With a slash at its end root is followed if it is a link, by the kernel:
		// /proc/PID/root leads somewhere else than it says.
		return filepath.WalkDir(root+"/", func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, p)
			if err != nil || rel == "." {
				return err
			}
			if rel = filepath.ToSlash(rel); skip != nil && skip(rel) {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			return visit(rel, d)
		})
	}
	err := walk(host, func(rel string, _ fs.DirEntry) error {
		seen[rel] = true
		what, err := differs(filepath.Join(host, rel), filepath.Join(target, rel))
		if what != "" {
			out = append(out, rel+": "+what)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = walk(target, func(rel string, d fs.DirEntry) error {
		if seen[rel] {
			return nil
		}
		out = append(out, rel+": only in the target")
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

// differs says in what two paths differ; "" if they do not.
func differs(a, b string) (string, error) {
	ia, err := os.Lstat(a)
	if err != nil {
		return "", err
	}
	ib, err := os.Lstat(b)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "missing in the target", nil
	case err != nil:
		return "", err
	case ia.Mode() != ib.Mode():
		return fmt.Sprintf("%s, and %s in the target", ia.Mode(), ib.Mode()), nil
	}
	switch ia.Mode().Type() {
	case fs.ModeSymlink:
		la, err := os.Readlink(a)
		if err != nil {
			return "", err
		}
		if lb, err := os.Readlink(b); err != nil || la != lb {
			return fmt.Sprintf("leads to %s, and to %s in the target", la, lb), err
		}
	case 0:
		same, err := sameContent(a, b)
		if err != nil || same {
			return "", err
		}
		return "differs in content", nil
	}
	return "", nil
}

func sameContent(a, b string) (bool, error) {
	fa, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	ba, bb := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, errA := io.ReadFull(fa, ba)
		m, errB := io.ReadFull(fb, bb)
		if !bytes.Equal(ba[:n], bb[:m]) {
			return false, nil
		}
		if errA != nil || errB != nil {
			if errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF) {
				errA = nil
			}
			return true, errA
		}
	}
}
