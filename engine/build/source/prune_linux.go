package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/image/layer"
)

// What is kept of one URL or repository is used under a shared lock on its
// file "used", whose time says when that was the last time; Prune removes it
// under an exclusive one.

// Sweep removes what a crash left in a directory of Options.Dir. Nobody may
// be using it.
func Sweep(dir string) error {
	var all []string
	for _, depth := range []string{"", "http/*", "git/*"} {
		found, err := filepath.Glob(filepath.Join(dir, depth, tempPrefix+"*"))
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	var err error
	for _, p := range all {
		err = errors.Join(err, layer.RemoveAll(p))
	}
	return err
}

// use keeps dir from Prune until release is called.
func use(dir string) (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "used"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_SH), os.Chtimes(f.Name(), now, now)); err != nil {
		f.Close()
		return nil, err
	}
	return f.Close, nil
}

// Prune removes downloads and clones that no build has used since, and says
// how many bytes that freed. What is in use stays.
func Prune(dir string, since time.Time) (freed int64, err error) {
	for _, kind := range []string{"http", "git"} {
		entries, rerr := os.ReadDir(filepath.Join(dir, kind))
		if rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		for _, e := range entries {
			n, perr := pruneOne(filepath.Join(dir, kind, e.Name()), since)
			freed += n
			err = errors.Join(err, perr)
		}
	}
	return freed, err
}

func pruneOne(dir string, since time.Time) (int64, error) {
	f, err := os.OpenFile(filepath.Join(dir, "used"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.ModTime().After(since) {
		return 0, err
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return 0, nil
	}
	var size int64
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() == "used" || strings.HasPrefix(e.Name(), "lock") {
			continue
		}
		size += diskUsage(filepath.Join(dir, e.Name()))
		err = errors.Join(err, layer.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return size, err
}

func diskUsage(p string) (size int64) {
	filepath.WalkDir(p, func(p string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(p, &st) == nil {
			size += st.Blocks * 512
		}
		return nil
	})
	return size
}
