//go:build !linux

package notify

import (
	"io/fs"
	"os"
	"path/filepath"

	"devstack/engine/watch"
)

// lstat looks at a path.
func lstat(path string) (meta, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return meta{}, err
	}
	m := meta{mode: uint16(info.Mode().Perm()), size: info.Size(), changed: info.ModTime()}
	switch info.Mode().Type() {
	case 0:
		m.kind = watch.File
	case fs.ModeDir:
		m.kind = watch.Dir
		return m, nil
	case fs.ModeSymlink:
		m.kind = watch.Symlink
	}
	m.stat = fingerprint(uint64(info.Size()), uint64(info.ModTime().UnixNano()))
	return m, nil
}

// lstatAt looks at a name in an open directory.
func lstatAt(dir *os.File, name string) (meta, error) { return lstat(filepath.Join(dir.Name(), name)) }

func openFile(path string) (*os.File, error) { return os.Open(path) }

// idOf is what stays with a file when it is renamed; not known here.
func idOf(os.FileInfo) fileID { return fileID{} }

func beingWritten(string) bool { return false }
