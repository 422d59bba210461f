package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image/registry/routes"
)

// Media types of Docker's that OCI took over under other names.
const (
	DockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	DockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

const maxManifest = 8 << 20

// Repository is a repository to pull from, wherever registries.conf says that
// it lies: mirrors are asked first, in their order.
type Repository struct {
	endpoints []*endpoint
	chosen    atomic.Int32 // the one that had the manifest, asked first for blobs
}

// endpoint is one place of a repository.
type endpoint struct {
	routes.Endpoint
	host  *host
	first time.Duration // pause before the first repetition

	mu   sync.Mutex
	open *session
}

// session introduces the client to the endpoint once it is needed.
func (e *endpoint) session(ctx context.Context) (*session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open != nil {
		return e.open, nil
	}
	s, err := e.host.session(ctx, e.Path)
	if err == nil {
		e.open = s
	}
	return s, err
}

// do sends a request with the right to pull.
func (e *endpoint) do(req *http.Request) (*http.Response, error) {
	s, err := e.session(req.Context())
	if err != nil {
		return nil, err
	}
	return s.do(req, pullScope(e.Path))
}

// MirrorsError is the failure of the registry itself, after those of mirrors.
type MirrorsError struct {
	Err     error
	Mirrors []error
}

func (e *MirrorsError) Error() string {
	s := e.Err.Error()
	for _, m := range e.Mirrors {
		s += "; " + m.Error()
	}
	return s
}

func (e *MirrorsError) Unwrap() error { return e.Err }

// each asks the endpoints in their order, from number start on, until one
// serves. Only the end of ctx ends it early: whatever is wrong with one place
// says nothing about the next.
func (r *Repository) each(ctx context.Context, start int, ask func(int, *endpoint) error) error {
	var mirrors []error
	var last error
	for i := range r.endpoints {
		n := (start + i) % len(r.endpoints)
		e := r.endpoints[n]
		err := ask(n, e)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if errors.Is(err, errNotServed) {
			continue
		}
		if e.Mirror || last != nil {
			mirrors = append(mirrors, fmt.Errorf("mirror %s: %w", e.Name(), err))
			continue
		}
		last = err
	}
	switch {
	case last == nil && len(mirrors) > 0:
		last, mirrors = mirrors[0], mirrors[1:]
	case last == nil:
		last = errNotServed
	}
	if len(mirrors) == 0 {
		return last
	}
	return &MirrorsError{Err: last, Mirrors: mirrors}
}

// errNotServed is for mirrors that are not to be asked.
var errNotServed = errors.New("no endpoint serves this kind of reference")

// Manifest gets a manifest or index by tag or digest. The digest in the
// descriptor is of the bytes that came; one that was asked for is checked.
func (r *Repository) Manifest(ctx context.Context, tagOrDigest string) (b []byte, d ocispec.Descriptor, err error) {
	byDigest := strings.Contains(tagOrDigest, ":")
	err = r.each(ctx, int(r.chosen.Load()), func(n int, e *endpoint) error {
		if !e.Serves(byDigest) {
			return errNotServed
		}
		b, d, err = e.manifest(ctx, tagOrDigest)
		if err == nil {
			r.chosen.Store(int32(n))
		}
		return err
	})
	return b, d, err
}

// Digest asks what a tag stands for, without having it sent: Docker Hub, for
// one, counts what it sends. "" says that the registry did not tell.
func (r *Repository) Digest(ctx context.Context, tag string) (d digest.Digest, err error) {
	err = r.each(ctx, int(r.chosen.Load()), func(n int, e *endpoint) error {
		if !e.Serves(false) {
			return errNotServed
		}
		resp, err := e.askManifest(ctx, http.MethodHead, tag)
		if err != nil {
			return err
		}
		defer drain(resp)
		if err := check(resp, http.StatusOK); err != nil {
			return err
		}
		r.chosen.Store(int32(n))
		if d = digest.Digest(resp.Header.Get("Docker-Content-Digest")); d.Validate() != nil {
			d = ""
		}
		return nil
	})
	return d, err
}

func (e *endpoint) manifest(ctx context.Context, tagOrDigest string) ([]byte, ocispec.Descriptor, error) {
	resp, err := e.askManifest(ctx, http.MethodGet, tagOrDigest)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	defer resp.Body.Close()
	if err := check(resp, http.StatusOK); err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, ocispec.Descriptor{}, fmt.Errorf("read manifest: %w", err)
	}
	if len(b) > maxManifest {
		return nil, ocispec.Descriptor{}, fmt.Errorf("read manifest: it is larger than %d bytes", maxManifest)
	}
	d := ocispec.Descriptor{MediaType: resp.Header.Get("Content-Type"), Size: int64(len(b)), Digest: digest.FromBytes(b)}
	if want, err := digest.Parse(tagOrDigest); err == nil {
		if got := want.Algorithm().FromBytes(b); got != want {
			return nil, d, fmt.Errorf("registry sent another manifest than asked for: its digest is %s, not %s", got, want)
		}
		d.Digest = want
	}
	return b, d, nil
}

func (e *endpoint) askManifest(ctx context.Context, method, tagOrDigest string) (*http.Response, error) {
	s, err := e.session(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url("manifests", tagOrDigest), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", strings.Join([]string{
		ocispec.MediaTypeImageIndex, DockerManifestList, ocispec.MediaTypeImageManifest, DockerManifest,
	}, ", "))
	return e.do(req)
}

// Blob opens a blob. Reads go on after a dropped connection where it broke
// off, and end with ctx.
func (r *Repository) Blob(ctx context.Context, d ocispec.Descriptor) (body io.ReadCloser, err error) {
	err = r.each(ctx, int(r.chosen.Load()), func(n int, e *endpoint) error {
		s, err := e.session(ctx)
		if err != nil {
			return err
		}
		b := &blob{ctx: ctx, at: e, url: s.url("blobs", string(d.Digest)), digest: d.Digest, size: d.Size}
		for i := range len(r.endpoints) - 1 {
			b.others = append(b.others, r.endpoints[(n+1+i)%len(r.endpoints)])
		}
		if err := b.connect(); err != nil {
			return err
		}
		body = b
		return nil
	})
	return body, err
}
