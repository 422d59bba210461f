package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of Docker's that OCI took over under other names.
const (
	DockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	DockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

const maxManifest = 8 << 20

// Repository is an open repository: its requests are authenticated.
type Repository struct {
	client             *http.Client
	scheme, host, path string
	first              time.Duration
}

func (r *Repository) url(kind, what string) string {
	u := url.URL{Scheme: r.scheme, Host: r.host, Path: "/v2/" + r.path + "/" + kind + "/" + what}
	return u.String()
}

// Manifest gets a manifest or index by tag or digest. The digest in the
// descriptor is of the bytes that came; one that was asked for is checked.
func (r *Repository) Manifest(ctx context.Context, tagOrDigest string) ([]byte, ocispec.Descriptor, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url("manifests", tagOrDigest), nil)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	req.Header.Set("Accept", strings.Join([]string{
		ocispec.MediaTypeImageIndex, DockerManifestList, ocispec.MediaTypeImageManifest, DockerManifest,
	}, ", "))
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
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

// Blob opens a blob. Reads go on after a dropped connection where it broke
// off, and end with ctx.
func (r *Repository) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	b := &blob{ctx: ctx, repo: r, url: r.url("blobs", string(d.Digest)), size: d.Size}
	if err := b.connect(); err != nil {
		return nil, err
	}
	return b, nil
}

// stall is how long a server may send nothing before the connection counts as
// dropped.
const stall = 60 * time.Second

var errStalled = errors.New("server has sent nothing for a minute")

// blob is the body of a blob over as many connections as it takes.
type blob struct {
	ctx      context.Context
	repo     *Repository
	url      string
	size     int64
	offset   int64
	body     io.ReadCloser
	cancel   context.CancelCauseFunc
	watchdog *time.Timer
	failures int  // since the last byte
	ended    bool // the last answer was short but complete
	noRanges bool // the server does not understand them
}

func (b *blob) connect() error {
	ctx, cancel := context.WithCancelCause(b.ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url, nil)
	if err != nil {
		cancel(nil)
		return err
	}
	req.Header.Set("Accept-Encoding", "identity")
	want := http.StatusOK
	if b.offset > 0 && !b.noRanges {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.offset, b.size-1))
		want = http.StatusPartialContent
	}
	resp, err := b.repo.client.Do(req)
	if err != nil {
		cancel(nil)
		return err
	}
	if err := transport.CheckError(resp, http.StatusOK, want); err != nil {
		cancel(nil)
		resp.Body.Close()
		if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && !b.noRanges {
			b.noRanges = true
			return b.connect()
		}
		return err
	}
	b.body, b.cancel = resp.Body, cancel
	b.watchdog = time.AfterFunc(stall, func() { cancel(errStalled) })
	if b.offset > 0 && resp.StatusCode != http.StatusPartialContent { // from the start again
		if _, err := io.CopyN(io.Discard, b.body, b.offset); err != nil {
			b.hangUp()
			return err
		}
	}
	return nil
}

func (b *blob) Read(p []byte) (int, error) {
	for {
		if b.body == nil {
			if err := b.reconnect(); err != nil {
				return 0, err
			}
		}
		n, err := b.body.Read(p)
		b.watchdog.Reset(stall)
		b.offset += int64(n)
		b.ended = err == io.EOF
		if n > 0 {
			b.failures = 0
		}
		switch {
		case err == nil:
			return n, nil
		case err == io.EOF && b.offset >= b.size:
			return n, err
		case b.ctx.Err() != nil:
			return n, context.Cause(b.ctx)
		}
		b.hangUp()
		if n > 0 {
			return n, nil
		}
	}
}

// reconnect waits longer each time until bytes come again.
func (b *blob) reconnect() error {
	for {
		b.failures++
		if b.failures > attempts && b.ended {
			return io.EOF // this is all there is
		}
		if b.failures > attempts {
			return fmt.Errorf("connection broke %d times in a row at byte %d of %d", attempts, b.offset, b.size)
		}
		if err := sleep(b.ctx, pause(b.repo.first, b.failures, nil)); err != nil {
			return err
		}
		err := b.connect()
		if err == nil {
			return nil
		}
		var status *transport.Error
		if errors.As(err, &status) || b.ctx.Err() != nil {
			return err
		}
	}
}

func (b *blob) hangUp() {
	if b.body != nil {
		b.watchdog.Stop()
		b.cancel(nil)
		b.body.Close()
		b.body = nil
	}
}

func (b *blob) Close() error {
	b.hangUp()
	return nil
}
