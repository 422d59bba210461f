package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
)

// Target is a repository to push to: the place itself, never a mirror.
type Target struct {
	*session
	first time.Duration
}

// Target opens a repository for pushing.
func (c *Client) Target(ctx context.Context, ref image.Reference) (*Target, error) {
	if ref.Transport != image.Docker {
		return nil, fmt.Errorf("%s is not in a registry", ref)
	}
	c.mu.Lock()
	places, err := c.places(ref, false)
	var h *host
	if err == nil {
		place := places[len(places)-1]
		ref.Domain, ref.Path = place.Host, place.Path
		h, err = c.host(place.Host, place.Insecure)
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s, err := h.session(ctx, ref.Path)
	if err != nil {
		return nil, err
	}
	return &Target{session: s, first: c.o.Backoff}, nil
}

func (t *Target) send(req *http.Request, alsoPull ...string) (*http.Response, error) {
	scopes := []string{pushScope(t.path)}
	for _, path := range alsoPull {
		scopes = append(scopes, pullScope(path))
	}
	return t.do(req, scopes...)
}

// ask sends a request without a body and gives its answer, read to the end.
func (t *Target) ask(ctx context.Context, method, url string, want ...int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := t.send(req)
	if err != nil {
		return nil, err
	}
	defer drain(resp)
	return resp, check(resp, want...)
}

// Has says whether the repository has a blob.
func (t *Target) Has(ctx context.Context, d digest.Digest) (bool, error) {
	return t.exists(ctx, t.url("blobs", string(d)))
}

// HasManifest says whether the repository has a manifest.
func (t *Target) HasManifest(ctx context.Context, d digest.Digest) (bool, error) {
	return t.exists(ctx, t.url("manifests", string(d)))
}

func (t *Target) exists(ctx context.Context, url string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "*/*")
	resp, err := t.send(req)
	if err != nil {
		return false, err
	}
	defer drain(resp)
	switch resp.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return false, check(resp)
	}
	if resp.StatusCode >= 500 {
		return false, check(resp)
	}
	return false, nil // some answer 400 and 405 for what they do not have
}

// Manifest puts a manifest or index under a tag or its digest.
func (t *Target) Manifest(ctx context.Context, tagOrDigest, mediaType string, b []byte) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, t.url("manifests", tagOrDigest), bytes.NewReader(b))
	if err != nil {
		return d, err
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := t.send(req)
	if err != nil {
		return d, fmt.Errorf("put manifest: %w", err)
	}
	defer drain(resp)
	if err := check(resp, http.StatusCreated, http.StatusOK, http.StatusAccepted); err != nil {
		return d, fmt.Errorf("put manifest: %w", err)
	}
	if got := resp.Header.Get("Docker-Content-Digest"); got != "" && got != string(d.Digest) {
		return d, fmt.Errorf("put manifest: registry %s has stored another one, %s instead of %s", t.name, got, d.Digest)
	}
	return d, nil
}

// begin starts an upload, or has the registry take the blob over from another
// of its repositories: then location is nil and the blob is there.
func (t *Target) begin(ctx context.Context, d digest.Digest, from string) (location *url.URL, err error) {
	u := t.url("blobs", "uploads/")
	var also []string
	if from != "" {
		u += "?" + url.Values{"mount": {string(d)}, "from": {from}}.Encode()
		also = []string{from}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, nil)
	if err != nil {
		return nil, err
	}
	resp, err := t.send(req, also...)
	if err != nil {
		return nil, err
	}
	defer drain(resp)
	if resp.StatusCode == http.StatusCreated && from != "" {
		return nil, nil
	}
	if err := check(resp, http.StatusAccepted); err != nil {
		return nil, err
	}
	return t.location(resp)
}

// location is where an upload goes on. A registry behind a proxy that ends TLS
// may call itself http; credentials must not follow that.
func (t *Target) location(resp *http.Response) (*url.URL, error) {
	u, err := resp.Location()
	if err != nil {
		return nil, errors.New("registry does not say where the upload goes")
	}
	if u.Host == t.addr {
		u.Scheme = t.scheme
	}
	if u.Scheme != "https" && u.Scheme != t.scheme {
		return nil, fmt.Errorf("registry wants the upload sent in clear to %s", u.Host)
	}
	return u, nil
}
