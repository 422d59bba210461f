package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/image/layer"
)

// What is kept of one URL or repository is used under a shared lock on its
// file "used", which has the URL and whose time says when that was the last
// time; Drop removes it under an exclusive one.

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

// use keeps dir, of url, from Drop until release is called.
func use(dir, url string) (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "used"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	_, err = f.WriteAt([]byte(redact(url)), 0)
	if err := errors.Join(err, unix.Flock(int(f.Fd()), unix.LOCK_SH), os.Chtimes(f.Name(), now, now)); err != nil {
		f.Close()
		return nil, err
	}
	return f.Close, nil
}

// Kept is what was fetched from one URL or repository.
type Kept struct {
	Name string // for Drop
	URL  string // without passwords; "" if it is not known
	Dir  string
	Used time.Time // last
	Busy bool      // a build reads it
}

// kinds of things that are kept, and the directories they are in.
func kinds() []string { return []string{"http", "git"} }

// List is all that is kept in a directory of Options.Dir.
func List(dir string) ([]Kept, error) {
	var all []Kept
	for _, kind := range kinds() {
		entries, err := os.ReadDir(filepath.Join(dir, kind))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			k, err := look(filepath.Join(dir, kind, e.Name()))
			if err != nil {
				return nil, err
			}
			if k.Name = kind + "-" + e.Name(); k.Dir != "" {
				all = append(all, k)
			}
		}
	}
	return all, nil
}

// look describes one directory; Dir is "" if nothing is kept there.
func look(dir string) (Kept, error) {
	entries, err := os.ReadDir(dir)
	if err != nil || !slices.ContainsFunc(entries, isContent) {
		return Kept{}, err
	}
	k := Kept{Dir: dir}
	f, err := os.Open(filepath.Join(dir, "used"))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil {
		k.Used = st.ModTime()
	}
	url, err := io.ReadAll(io.LimitReader(f, 4096))
	k.URL, k.Busy = string(url), unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
	return k, err
}

func isContent(e fs.DirEntry) bool {
	return e.Name() != "used" && !strings.HasPrefix(e.Name(), "lock")
}

// Drop removes what List calls name. What is in use stays, which is no error.
func Drop(dir, name string) error {
	kind, hash, _ := strings.Cut(name, "-")
	if !slices.Contains(kinds(), kind) || hash == "" || filepath.Base(hash) != hash {
		return fmt.Errorf("remove source: %q is not the name of one", name)
	}
	dir = filepath.Join(dir, kind, hash)
	f, err := os.OpenFile(filepath.Join(dir, "used"), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if isContent(e) {
			err = errors.Join(err, layer.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
