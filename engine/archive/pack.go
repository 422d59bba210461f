package archive

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
)

// Pack writes the file, link or directory called name in root, and what is
// below it, with as for its name.
func Pack(ctx context.Context, w io.Writer, root *os.Root, name, as string) error {
	tw := tar.NewWriter(w)
	if err := pack(ctx, tw, root, name, as); err != nil {
		return err
	}
	return tw.Close()
}

// PackFile writes one file that is open already.
func PackFile(ctx context.Context, w io.Writer, f *os.File, as string) error {
	tw := tar.NewWriter(w)
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if err := content(ctx, tw, f, fi, as); err != nil {
		return err
	}
	return tw.Close()
}

func pack(ctx context.Context, tw *tar.Writer, root *os.Root, name, as string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fi, err := root.Lstat(name)
	if err != nil {
		return err
	}
	switch fi.Mode().Type() {
	case 0:
		// Not to wait for a FIFO that has taken the file's place.
		f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if fi, err = f.Stat(); err != nil || !fi.Mode().IsRegular() {
			return err
		}
		return content(ctx, tw, f, fi, as)
	case fs.ModeSymlink:
		target, err := root.Readlink(name)
		if err != nil {
			return err
		}
		h, err := header(fi, target, as)
		if err != nil {
			return err
		}
		return tw.WriteHeader(h)
	case fs.ModeDir:
		return dir(ctx, tw, root, fi, name, as)
	}
	return nil
}

func dir(ctx context.Context, tw *tar.Writer, root *os.Root, fi fs.FileInfo, name, as string) error {
	h, err := header(fi, "", as+"/")
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	sub, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	f, err := sub.Open(".")
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		if err := pack(ctx, tw, sub, n, path.Join(as, n)); err != nil {
			return err
		}
	}
	return nil
}

func content(ctx context.Context, tw *tar.Writer, f *os.File, fi fs.FileInfo, as string) error {
	h, err := header(fi, "", as)
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.CopyN(tw, stoppable{ctx, f}, fi.Size())
	if err == io.EOF {
		err = fmt.Errorf("it has become shorter while it was read (%d of %d bytes)", n, fi.Size())
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", as, err)
	}
	return nil
}

func header(fi fs.FileInfo, target, name string) (*tar.Header, error) {
	h, err := tar.FileInfoHeader(numbered{fi}, target)
	if err != nil {
		return nil, err
	}
	h.Name, h.Format = name, tar.FormatPAX
	return h, nil
}

// numbered keeps package tar from looking names of users up: those of one side
// mean nothing on the other.
type numbered struct{ fs.FileInfo }

func (numbered) Uname() (string, error) { return "", nil }
func (numbered) Gname() (string, error) { return "", nil }

type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
