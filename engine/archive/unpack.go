package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Reader unpacks one archive.
type Reader struct {
	tr    *tar.Reader
	first *tar.Header // read, and not unpacked yet
}

// Open begins to read an archive; io.EOF means that it is empty.
func Open(r io.Reader) (*Reader, error) {
	a := &Reader{tr: tar.NewReader(r)}
	var err error
	a.first, err = a.tr.Next()
	return a, err
}

// Dir says whether the first entry is a directory.
func (a *Reader) Dir() bool { return a.first.Typeflag == tar.TypeDir }

// Options of Unpack.
type Options struct {
	// Rename is what the top of the tree is called instead: the first part of
	// every name. "." puts what is in it into the root itself.
	Rename string
	// Owners gives files the owners that the archive names; else they are the
	// process's.
	Owners bool
}

// Unpack writes the entries below root. What is there is replaced, except that
// a directory and something else never take each other's place.
func (a *Reader) Unpack(ctx context.Context, root *os.Root, o Options) error {
	u := unpacking{root: root, o: o, ctx: ctx}
	for h := a.first; ; {
		if err := u.entry(h, a.tr); err != nil {
			return err
		}
		var err error
		if h, err = a.tr.Next(); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
	}
	return u.settle()
}

type unpacking struct {
	ctx  context.Context
	root *os.Root
	o    Options
	dirs []*tar.Header // their times are set when nothing comes into them any more
	at   []string      // their names
}

// local is an entry's name below the root; "" means the root itself.
func (u *unpacking) local(name string) (string, error) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if u.o.Rename != "" && name != "" {
		_, rest, _ := strings.Cut(name, "/")
		name = strings.TrimPrefix(path.Join("/", u.o.Rename, rest), "/")
	}
	if name != "" && !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", fmt.Errorf("archive holds %q: not a name for a file here", name)
	}
	return filepath.FromSlash(name), nil
}

func (u *unpacking) entry(h *tar.Header, r io.Reader) error {
	name, err := u.local(h.Name)
	if err != nil {
		return err
	}
	if name == "" { // the directory that is there already
		return nil
	}
	isDir := h.Typeflag == tar.TypeDir
	there, err := u.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := u.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
	case err != nil:
		return err
	case there.IsDir() && !isDir:
		return fmt.Errorf("cannot overwrite directory %q with non-directory", name)
	case !there.IsDir() && isDir:
		return fmt.Errorf("cannot overwrite non-directory %q with directory", name)
	case !isDir:
		if err := u.root.Remove(name); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.dir(h, name, there != nil)
	case tar.TypeReg:
		return u.file(h, name, r)
	case tar.TypeSymlink:
		if err := u.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		if u.o.Owners {
			return u.root.Lchown(name, h.Uid, h.Gid)
		}
		return nil
	case tar.TypeLink:
		old, err := u.local(h.Linkname)
		if err != nil {
			return err
		}
		return u.root.Link(old, name)
	case tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("cannot copy %q: neither file, directory nor link", name)
}

func (u *unpacking) dir(h *tar.Header, name string, there bool) error {
	if !there {
		if err := u.root.Mkdir(name, 0o700); err != nil {
			return err
		}
	}
	f, err := u.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	u.dirs, u.at = append(u.dirs, h), append(u.at, name)
	return u.attributes(f, h)
}

func (u *unpacking) file(h *tar.Header, name string, r io.Reader) error {
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, stoppable{u.ctx, r})
	if err == nil {
		err = u.attributes(f, h)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return u.root.Chtimes(name, time.Time{}, h.ModTime)
}

// attributes gives an open file its owner and mode, in this order: a change of
// owner takes the set-id bits away.
func (u *unpacking) attributes(f *os.File, h *tar.Header) error {
	if u.o.Owners {
		if err := f.Chown(h.Uid, h.Gid); err != nil {
			return err
		}
	}
	return f.Chmod(h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky))
}

// settle sets the times of directories, the deepest first.
func (u *unpacking) settle() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		if err := u.root.Chtimes(u.at[i], time.Time{}, u.dirs[i].ModTime); err != nil {
			return err
		}
	}
	return nil
}
