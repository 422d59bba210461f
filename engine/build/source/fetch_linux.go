package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"devstack/engine/image/layer"
	"devstack/engine/image/registry"
)

// A URL's content is kept as Dir/http/<sha256 of URL>/{record, <sha256>/data}:
// the record says which content is the newest and how to ask whether it still
// is. Everything arrives under a temporary name and is renamed when its digest
// is known.

type record struct {
	Version      int           `json:"version"`
	URL          string        `json:"url"`
	ETag         string        `json:"etag,omitempty"`
	LastModified string        `json:"lastModified,omitempty"`
	Digest       digest.Digest `json:"digest"`
}

// attempts are made at a URL whose server is busy or whose connection broke.
const attempts = 4

// fetch gives the directory in which the content of a URL is the file "data",
// which stays until release is called.
func fetch(ctx context.Context, s Spec, o Options) (dir string, release func() error, err error) {
	if o.Dir == "" {
		return "", nil, errors.New("no directory to download to")
	}
	sum := sha256.Sum256([]byte(s.URL))
	d := &download{spec: s, o: o, dir: filepath.Join(o.Dir, "http", hex.EncodeToString(sum[:16]))}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return "", nil, err
	}
	if release, err = use(d.dir, s.URL); err != nil {
		return "", nil, err
	}
	if dir, err = d.get(ctx); err != nil {
		release()
	}
	return dir, release, err
}

func (d *download) get(ctx context.Context) (string, error) {
	s := d.spec
	want, err := parseChecksum(s.Checksum)
	if err != nil {
		return "", err
	}
	d.want = want
	have := d.record()
	if want != "" && d.has(want) {
		return d.content(want), nil // what is asked for cannot have changed
	}
	var got digest.Digest
	for n := 1; ; n++ {
		got, err = d.try(ctx, have)
		var again *retryError
		if !errors.As(err, &again) || n == attempts {
			break
		}
		if err := pause(ctx, max(again.after, time.Second<<n/8)); err != nil {
			return "", err
		}
	}
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", redact(s.URL), err)
	}
	return d.content(got), nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(min(d, 30*time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func parseChecksum(s string) (digest.Digest, error) {
	if s == "" {
		return "", nil
	}
	d, err := digest.Parse(s)
	if err != nil || d.Algorithm() != digest.SHA256 {
		return "", fmt.Errorf("--checksum=%s: the checksum of a URL is written sha256: and 64 hexadecimal digits", s)
	}
	return d, nil
}

type download struct {
	spec Spec
	o    Options
	want digest.Digest
	dir  string
}

// retryError is a failure that may pass.
type retryError struct {
	err   error
	after time.Duration
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

func (d *download) content(dg digest.Digest) string { return filepath.Join(d.dir, dg.Encoded()) }

func (d *download) has(dg digest.Digest) bool {
	_, err := os.Stat(filepath.Join(d.content(dg), "data"))
	return err == nil
}

func (d *download) record() *record {
	data, err := os.ReadFile(filepath.Join(d.dir, "record"))
	var r record
	if err != nil || json.Unmarshal(data, &r) != nil || r.Version != 1 || r.Digest.Validate() != nil || !d.has(r.Digest) {
		return nil
	}
	return &r
}

func (d *download) try(ctx context.Context, have *record) (digest.Digest, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.spec.URL, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept-Encoding", "identity") // the checksum is of what the server has
	req.Header.Set("User-Agent", "devstack")
	d.authorize(req)
	if have != nil && have.ETag != "" {
		req.Header.Set("If-None-Match", have.ETag)
	} else if have != nil && have.LastModified != "" {
		req.Header.Set("If-Modified-Since", have.LastModified)
	}
	client, err := registry.HTTPClient(d.o.environ(), req.URL.Host)
	if err != nil {
		return "", err
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, which may hold a password
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", &retryError{err: err}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && have != nil:
		return have.Digest, d.verify(have.Digest)
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		after, _ := time.ParseDuration(resp.Header.Get("Retry-After") + "s")
		return "", &retryError{fmt.Errorf("the server answers %s", resp.Status), after}
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return "", fmt.Errorf("the server answers %s", resp.Status)
	}
	return d.save(ctx, resp)
}

// authorize adds the secrets HTTP_AUTH_HEADER_<host> or HTTP_AUTH_TOKEN_<host>.
func (d *download) authorize(req *http.Request) {
	if d.o.Secret == nil {
		return
	}
	host := req.URL.Hostname()
	if v, ok := d.o.Secret("HTTP_AUTH_HEADER_" + host); ok {
		req.Header.Set("Authorization", strings.TrimSpace(string(v)))
	} else if v, ok := d.o.Secret("HTTP_AUTH_TOKEN_" + host); ok {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(v)))
	}
}

func (d *download) verify(got digest.Digest) error {
	if d.want != "" && got != d.want {
		return fmt.Errorf("its checksum is %s, not %s", got, d.want)
	}
	return nil
}

// save keeps the body of a response once it is complete and right.
func (d *download) save(ctx context.Context, resp *http.Response) (digest.Digest, error) {
	tmp, err := d.o.tempDir()
	if err != nil {
		return "", err
	}
	defer layer.RemoveAll(tmp)
	modified := time.Unix(0, 0)
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		modified = t
	}
	got, err := d.receive(ctx, resp, filepath.Join(tmp, "data"), modified)
	if err != nil {
		return "", err
	}
	if err := d.verify(got); err != nil {
		return "", err
	}
	if !d.has(got) {
		if err := os.Chmod(tmp, 0o755); err != nil {
			return "", err
		}
		if err := os.Rename(tmp, d.content(got)); err != nil && !d.has(got) {
			return "", err
		}
	}
	return got, d.remember(resp, got)
}

func (d *download) receive(ctx context.Context, resp *http.Response, path string, modified time.Time) (digest.Digest, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	limit := d.o.MaxBytes
	if limit == 0 {
		limit = 64 << 30
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(resp.Body, limit+1))
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && !isLocal(err):
		return "", &retryError{err: fmt.Errorf("after %d bytes: %w", n, err)}
	case err != nil:
		return "", err
	case n > limit:
		return "", fmt.Errorf("it is larger than the limit of %d bytes", limit)
	}
	if err := errors.Join(f.Sync(), f.Close(), os.Chtimes(path, modified, modified)); err != nil {
		return "", err
	}
	return digest.NewDigest(digest.SHA256, sum), nil
}

// isLocal says whether writing failed and not the connection.
func isLocal(err error) bool {
	var pe *os.PathError
	return errors.As(err, &pe)
}

func (d *download) remember(resp *http.Response, got digest.Digest) error {
	data, err := json.Marshal(record{
		Version: 1, URL: redact(d.spec.URL), Digest: got,
		ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"),
	})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(d.dir, "record"), data)
}

// openURL is the content of a URL as ADD takes it: one file.
func openURL(ctx context.Context, s Spec, o Options) (*Tree, error) {
	dir, release, err := fetch(ctx, s, o)
	if err != nil {
		return nil, err
	}
	o.NoIgnore = true
	o.Name = redact(s.URL)
	t, err := openDir(dir, o)
	if err != nil {
		release()
		return nil, err
	}
	t.cleanup = release
	if t.single = s.FileName(); t.single == "" {
		t.single = Unnamed
	}
	return t, nil
}

// openURLContext is the content of a URL as a context: an archive or a
// Dockerfile.
func openURLContext(ctx context.Context, s Spec, o Options) (*Tree, error) {
	dir, release, err := fetch(ctx, s, o)
	if err != nil {
		return nil, err
	}
	defer release()
	f, err := os.Open(filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return openStream(ctx, f, o)
}
