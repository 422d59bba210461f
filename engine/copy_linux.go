package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"

	"devstack/engine/api"
	"devstack/engine/api/server"
	"devstack/engine/archive"
	"devstack/engine/supervise"
)

// insideRoot finds files of a container: every path is resolved inside its
// root (openat2 with RESOLVE_IN_ROOT), wherever its links point.
type insideRoot struct{ root *os.File }

// open gives what is at a path, links followed, as an O_PATH descriptor.
func (r insideRoot) open(name string) (*os.File, error) {
	h, err := pathrs.OpenatInRoot(r.root, name)
	if err != nil {
		if cause := errors.Unwrap(err); errors.Is(err, fs.ErrNotExist) && cause != nil {
			err = fs.ErrNotExist
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return h, nil
}

// dir gives a directory as a tree of its own.
func (r insideRoot) dir(name string) (*os.Root, error) {
	h, err := r.open(name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return treeOf(h)
}

func treeOf(dir *os.File) (*os.Root, error) { return os.OpenRoot(byDescriptor(dir)) }

func byDescriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// CopyFrom writes a file or a tree of a container to the session's output.
func (e *Engine) CopyFrom(ctx context.Context, req api.CopyRequest, se *server.Session) (int, error) {
	units, err := e.copied(req)
	if err != nil {
		return 0, err
	}
	u := units[0]
	return 0, step(u, se.Emit, "Copying", "Copied", func() error { return copyFrom(ctx, u, req, se.Stdout) })
}

func copyFrom(ctx context.Context, u *supervise.Unit, req api.CopyRequest, w io.Writer) error {
	name := path.Clean("/" + req.Path)
	if name == "/" {
		return &api.Error{Message: "cannot copy the whole of a container", Hint: "devstack export " + u.Service()}
	}
	root, running, release, err := u.Root()
	if err != nil {
		return err
	}
	defer release()
	if at := u.MountedAt(name); at != "" && !running {
		return stoppedMount(u, at)
	}
	in := insideRoot{root}
	parent, err := in.dir(path.Dir(name))
	if err != nil {
		return noSuchFile(u, name, err)
	}
	defer parent.Close()
	base := path.Base(name)
	fi, err := parent.Lstat(base)
	if err != nil {
		return noSuchFile(u, name, err)
	}
	if fi.Mode().Type() != fs.ModeSymlink || !req.FollowLink && !strings.HasSuffix(req.Path, "/") {
		return archive.Pack(ctx, w, parent, base, base)
	}
	return packTarget(ctx, in, name, w)
}

// packTarget packs what a link points to, under the link's name.
func packTarget(ctx context.Context, in insideRoot, name string, w io.Writer) error {
	h, err := in.open(name)
	if err != nil {
		return err
	}
	defer h.Close()
	fi, err := h.Stat()
	if err != nil {
		return err
	}
	if fi.IsDir() {
		tree, err := treeOf(h)
		if err != nil {
			return err
		}
		defer tree.Close()
		return archive.Pack(ctx, w, tree, ".", path.Base(name))
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("cannot copy %s: neither file, directory nor link", name)
	}
	f, err := os.Open(byDescriptor(h))
	if err != nil {
		return err
	}
	defer f.Close()
	return archive.PackFile(ctx, w, f, path.Base(name))
}

func noSuchFile(u *supervise.Unit, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &api.Error{Message: fmt.Sprintf("could not find the file %s in container %s", name, u.Name())}
	}
	return err
}

func stoppedMount(u *supervise.Unit, at string) error {
	return &api.Error{
		Message: fmt.Sprintf("container %s does not run, and %s is a mount of its", u.Name(), at),
		Hint:    "devstack start " + u.Service(),
	}
}

// copied are the containers that a copy is about.
func (e *Engine) copied(req api.CopyRequest) ([]*supervise.Unit, error) {
	units := slices.DeleteFunc(e.unitsOf(req.Name, []string{req.Service}), func(u *supervise.Unit) bool {
		return u.OneOff() && !req.All || req.Index > 0 && u.Number() != req.Index
	})
	if len(units) == 0 {
		_, err := e.container(req.Name, req.Service, req.Index)
		return nil, err
	}
	return units, nil
}

// CopyTo unpacks the session's input in every container of a service.
func (e *Engine) CopyTo(ctx context.Context, req api.CopyRequest, se *server.Session) (int, error) {
	units, err := e.copied(req)
	if err != nil {
		return 0, err
	}
	again := func() (io.Reader, error) { return se.Stdin, nil }
	if len(units) > 1 {
		spool, err := os.CreateTemp(e.cfg.Roots.Data, ".copy-")
		if err != nil {
			return 0, err
		}
		defer spool.Close()
		if err := os.Remove(spool.Name()); err != nil {
			return 0, err
		}
		if _, err := io.Copy(spool, se.Stdin); err != nil {
			return 0, err
		}
		again = func() (io.Reader, error) {
			_, err := spool.Seek(0, io.SeekStart)
			return spool, err
		}
	}
	for _, u := range units {
		r, err := again()
		if err != nil {
			return 0, err
		}
		if err := step(u, se.Emit, "Copying", "Copied", func() error { return copyTo(ctx, u, req, r) }); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func copyTo(ctx context.Context, u *supervise.Unit, req api.CopyRequest, r io.Reader) error {
	root, running, release, err := u.Root()
	if err != nil {
		return err
	}
	defer release()
	in := insideRoot{root}
	name, err := in.follow(path.Clean("/" + req.Path))
	if err != nil {
		return err
	}
	switch at := u.MountedAt(name); {
	case running:
	case at != "":
		return stoppedMount(u, at)
	case u.Record().Declared.ReadOnly:
		return &api.Error{Message: "container rootfs is marked read-only"}
	}
	a, err := archive.Open(r)
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	t := archive.Target{Path: req.Path, Base: path.Base(name), Slash: strings.HasSuffix(req.Path, "/")}
	if h, err := in.open(name); err == nil {
		fi, err := h.Stat()
		h.Close()
		if err != nil {
			return err
		}
		t.Exists, t.Dir = true, fi.IsDir()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	inside, rename := true, ""
	if req.Source != "" {
		inside, rename, err = archive.Place(archive.Source{Base: req.Source, Dir: a.Dir(), Contents: req.Contents}, t)
		if err != nil {
			return err
		}
	} else if !t.Dir {
		return &api.Error{Message: fmt.Sprintf("destination %q must be a directory that exists", req.Path)}
	}
	if !inside {
		name = path.Dir(name)
	}
	tree, err := in.dir(name)
	if err != nil {
		return noSuchFile(u, name, err)
	}
	defer tree.Close()
	return a.Unpack(ctx, tree, archive.Options{Rename: rename, Owners: req.Archive})
}

// maxLinks is the kernel's own limit.
const maxLinks = 40

// follow resolves a link at the end of a path, so that what it points to is
// written rather than replaced.
func (r insideRoot) follow(name string) (string, error) {
	for range maxLinks {
		tree, err := r.dir(path.Dir(name))
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
		target, err := tree.Readlink(path.Base(name))
		tree.Close()
		if err != nil || name == "/" {
			return name, nil // no link
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = path.Clean("/" + target)
	}
	return "", fmt.Errorf("%s: too many levels of symbolic links", name)
}
