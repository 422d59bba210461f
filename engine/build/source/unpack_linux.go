package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/image/layer"
)

// headSize is how much of a stream tells what it is: bzip2 and zstd need a
// whole block before the first header of the archive.
const headSize = 1 << 20

func (o Options) tempDir() (string, error) {
	if o.Dir == "" {
		return "", errors.New("no directory to unpack to")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(o.Dir, tempPrefix)
}

// openStream makes a context of a stream: an archive is unpacked, anything
// else is taken for a Dockerfile without a context.
func openStream(ctx context.Context, r io.Reader, o Options) (*Tree, error) {
	br := bufio.NewReaderSize(r, headSize)
	head, err := br.Peek(headSize)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", o.Name, err)
	}
	if len(head) == 0 {
		return nil, fmt.Errorf("read %s: it is empty", o.Name)
	}
	archive, err := isArchiveHead(ctx, head)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Name, err)
	}
	tmp, err := o.tempDir()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Name, err)
	}
	// Owners and permissions of the archive's top do not open tmp to others.
	dir := filepath.Join(tmp, "context")
	err = os.Mkdir(dir, 0o755)
	switch {
	case err != nil:
	case archive:
		err = unpackTo(ctx, br, dir, o)
	default:
		err = keepDockerfile(br, dir)
	}
	var t *Tree
	if err == nil {
		t, err = openDir(dir, o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", o.Name, err), layer.RemoveAll(tmp))
	}
	t.cleanup = func() error { return layer.RemoveAll(tmp) }
	return t, nil
}

// isArchiveHead is IsArchive for the beginning of a stream. A compressed one
// of which the beginning does not suffice is one: Dockerfiles are not
// compressed.
func isArchiveHead(ctx context.Context, head []byte) (bool, error) {
	is, err := IsArchive(ctx, strings.NewReader(string(head)))
	if is || err != nil {
		return is, err
	}
	text := string(head[:min(len(head), 6)])
	return layer.Detect(head) != layer.None || text == xzMagic || strings.HasPrefix(text, bzip2Magic) && len(head) == headSize, nil
}

func unpackTo(ctx context.Context, r io.Reader, dir string, o Options) error {
	plain, err := Decompress(ctx, r)
	if err != nil {
		return err
	}
	defer plain.Close()
	return layer.UnpackAll(ctx, plain, dir, layer.Limits{Bytes: o.MaxBytes}) // the checksum of the compression comes last
}

const maxDockerfile = 16 << 20

func keepDockerfile(r io.Reader, dir string) error {
	data, err := io.ReadAll(io.LimitReader(r, maxDockerfile+1))
	if err != nil {
		return err
	}
	if len(data) > maxDockerfile {
		return fmt.Errorf("it is neither an archive nor a Dockerfile of at most %d MiB", maxDockerfile>>20)
	}
	return os.WriteFile(filepath.Join(dir, "Dockerfile"), data, 0o644)
}

func openTar(ctx context.Context, path string, o Options) (*Tree, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Name, err)
	}
	defer f.Close()
	if is, err := IsArchive(ctx, f); err != nil || !is {
		if err == nil {
			err = errors.New("it is not a tar archive")
		}
		return nil, fmt.Errorf("open %s %s: %w", o.Name, path, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return openStream(ctx, f, o)
}

// openStdin opens what a client has read from its standard input.
func openStdin(ctx context.Context, path string, o Options) (*Tree, error) {
	if path == "" {
		return nil, fmt.Errorf("open %s: there is no standard input here: `devstack build` reads it", o.Name)
	}
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Name, err)
	}
	defer f.Close()
	return openStream(ctx, f, o)
}

func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
