package fetch

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/store"
)

// archiveLayers is how many layers of the greatest size fit into an archive:
// it bounds what a compressed one may unpack to.
const archiveLayers = 4

// maxFiles bounds the files of an archive: images have a few hundred.
const maxFiles = 1_000_000

// files are the files an image is read from: a directory's or an archive's.
type files interface {
	open(name string) (io.ReadCloser, int64, error) // errors are fs.ErrNotExist where that is so
	Close() error
}

// stampOf tells states of a reference's file apart; "" for registries.
func stampOf(r image.Reference) (string, error) {
	file := r.File
	switch r.Transport {
	case image.Docker:
		return "", nil
	case image.OCI:
		file = filepath.Join(file, "index.json")
	}
	fi, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d", fi.ModTime().UnixNano(), fi.Size()), nil
}

// dirFiles are files beneath a directory, and nothing that links lead to
// outside of it.
type dirFiles struct{ *os.Root }

func (d dirFiles) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.Root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, fi.Size(), nil
}

// tarFiles are the files of an uncompressed archive, found by their offsets.
type tarFiles struct {
	f     *os.File
	where map[string]extent
	close func()
}

type extent struct{ offset, size int64 }

// openArchive indexes an archive; a compressed one is first unpacked to a
// temporary file.
func openArchive(ctx context.Context, s *store.Store, file string, limits layer.Limits) (*tarFiles, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	done := func() { f.Close() }
	plain, compression, err := layer.Decompress(ctx, f, nil)
	if err != nil {
		done()
		return nil, err
	}
	defer plain.Close()
	if compression != layer.None {
		tmp, err := inflate(ctx, s, plain, limits)
		done()
		if err != nil {
			return nil, fmt.Errorf("decompress archive: %w", err)
		}
		f, done = tmp.File, tmp.Discard
	}
	return indexArchive(ctx, f, done)
}

// spoolArchive is openArchive for what can be read once only.
func spoolArchive(ctx context.Context, s *store.Store, r io.Reader, limits layer.Limits) (*tarFiles, error) {
	plain, _, err := layer.Decompress(ctx, ctxReader{ctx, r}, nil)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	tmp, err := inflate(ctx, s, plain, limits)
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	return indexArchive(ctx, tmp.File, tmp.Discard)
}

func indexArchive(ctx context.Context, f *os.File, done func()) (*tarFiles, error) {
	t := &tarFiles{f: f, close: done, where: map[string]extent{}}
	_, err := f.Seek(0, io.SeekStart)
	if err == nil {
		err = t.index(ctx)
	}
	if err != nil {
		done()
		return nil, err
	}
	return t, nil
}

func inflate(ctx context.Context, s *store.Store, r io.Reader, limits layer.Limits) (*store.BlobWriter, error) {
	tmp, err := s.NewBlob()
	if err != nil {
		return nil, err
	}
	most := limits.MaxBytes() * archiveLayers
	n, err := io.Copy(tmp, io.LimitReader(ctxReader{ctx, r}, most+1))
	if err == nil && n > most {
		err = &layer.RefusedError{What: "archive", Reason: fmt.Sprintf("it unpacks to more than %d bytes", most), Limit: true}
	}
	if err != nil {
		tmp.Discard()
		return nil, err
	}
	return tmp, nil
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// index notes where every file begins: a tar.Reader on a file reads headers
// only and seeks over the rest.
func (t *tarFiles) index(ctx context.Context) error {
	fi, err := t.f.Stat()
	if err != nil {
		return err
	}
	links := map[string]string{}
	tr := tar.NewReader(t.f)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Errorf("read archive (truncated or no tar file?): %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		at, err := t.f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		name := path.Clean(strings.TrimPrefix(hdr.Name, "/"))
		if len(t.where)+len(links) >= maxFiles {
			return fmt.Errorf("archive has more than %d files", maxFiles)
		}
		switch hdr.Typeflag {
		case tar.TypeReg:
			if at+hdr.Size > fi.Size() {
				return fmt.Errorf("archive is truncated: it ends inside %s", name)
			}
			t.where[name] = extent{at, hdr.Size}
		case tar.TypeSymlink: // as older versions of docker save wrote repeated layers
			links[name] = path.Join(path.Dir(name), hdr.Linkname)
		case tar.TypeLink:
			links[name] = path.Clean(hdr.Linkname)
		}
	}
	for name, target := range links {
		if e, ok := t.where[target]; ok {
			t.where[name] = e
		}
	}
	return nil
}

func (t *tarFiles) open(name string) (io.ReadCloser, int64, error) {
	e, ok := t.where[path.Clean(name)]
	if !ok {
		return nil, 0, fmt.Errorf("archive has no file %s: %w", name, os.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(t.f, e.offset, e.size)), e.size, nil
}

func (t *tarFiles) Close() error {
	t.close()
	return nil
}
