package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Upload sends a blob, whole, in one request. A broken connection is taken up
// where the registry says that it has got to; where it has forgotten the
// upload, as Docker's registry does, from the start. content opens the blob at
// an offset; sent, which may be nil, learns how far the registry has it.
func (t *Target) Upload(ctx context.Context, d ocispec.Descriptor, content func(offset int64) (io.ReadCloser, error), sent func(int64)) error {
	if sent == nil {
		sent = func(int64) {}
	}
	u := upload{t: t, d: d, content: content, sent: sent}
	return u.run(ctx)
}

// begin ──> send ──> commit ──> done
//
//	 ^        │ broken  │
//	 │        v         │
//	 └──── status <─────┘
//	forgotten   known: send the rest
type upload struct {
	t       *Target
	d       ocispec.Descriptor
	content func(int64) (io.ReadCloser, error)
	sent    func(int64)

	at      *url.URL // nil: not begun
	offset  int64    // what the registry has confirmed
	resumed bool     // it was put together from several requests
}

func (u *upload) run(ctx context.Context) error {
	best := int64(-1) // progress that earlier attempts have confirmed
	for failures := 0; ; {
		err := u.attempt(ctx, failures > 0)
		if err == nil {
			u.sent(u.d.Size)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var local *contentError
		if errors.As(err, &local) {
			return local.Err
		}
		if failures++; u.offset > best {
			best, failures = u.offset, min(failures, 1)
		}
		if failures >= attempts || !u.again(err) {
			return err
		}
		var wait *http.Response
		if s := (*retryError)(nil); errors.As(err, &s) {
			wait = s.resp
		}
		if err := sleep(ctx, pause(u.t.first, failures, wait)); err != nil {
			return err
		}
	}
}

// again says whether another attempt can help: not where the registry refuses
// a fresh upload.
func (u *upload) again(err error) bool {
	var status *StatusError
	if !errors.As(err, &status) {
		return dropped(err) || u.at != nil
	}
	switch status.Status {
	case http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusMethodNotAllowed:
		return false
	case http.StatusUnauthorized:
		return u.at != nil // the token has run out on the way
	case http.StatusBadRequest:
		return !status.has(codeDigestInvalid) && u.at != nil || u.resumed
	}
	return u.at != nil || status.Status >= 500 || status.Status == http.StatusTooManyRequests
}

// contentError is a failure to read what is to be sent.
type contentError struct{ Err error }

func (e *contentError) Error() string { return e.Err.Error() }

// retryError carries the Retry-After of an answer.
type retryError struct {
	error
	resp *http.Response
}

func (e *retryError) Unwrap() error { return e.error }

func (u *upload) attempt(ctx context.Context, again bool) error {
	if again {
		// The answer to a commit may be what was lost.
		if has, err := u.t.Has(ctx, u.d.Digest); err == nil && has {
			return nil
		}
		if u.at != nil && !u.resume(ctx) {
			u.at, u.offset = nil, 0
		}
	}
	if u.at == nil {
		at, err := u.t.begin(ctx, u.d.Digest, "")
		if err != nil {
			return err
		}
		u.at, u.offset, u.resumed = at, 0, false
	}
	if u.offset < u.d.Size || u.d.Size == 0 {
		if err := u.send(ctx); err != nil {
			return err
		}
	}
	return u.commit(ctx)
}

// resume asks how far the upload has come; false if the registry knows of
// none.
func (u *upload) resume(ctx context.Context) bool {
	resp, err := u.t.ask(ctx, http.MethodGet, u.at.String(), http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return false
	}
	if at, err := u.t.location(resp); err == nil {
		u.at = at
	}
	n, ok := confirmed(resp.Header.Get("Range"))
	if !ok || n > u.d.Size {
		return false
	}
	u.offset, u.resumed = n, n > 0
	return true
}

// confirmed reads "0-N", which says that bytes 0 to N are there; also "0-0"
// for none, as everybody writes it.
func confirmed(header string) (int64, bool) {
	_, last, ok := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	n, err := strconv.ParseInt(last, 10, 64)
	if !ok || err != nil || n < 0 {
		return 0, false
	}
	if n == 0 {
		return 0, true
	}
	return n + 1, true
}

// send sends all that is missing.
func (u *upload) send(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	content, err := u.content(u.offset)
	if err != nil {
		return &contentError{err}
	}
	watchdog := time.AfterFunc(stall, func() { cancel(errStalled) })
	defer watchdog.Stop()
	body := &sentBody{ReadCloser: content, n: u.offset, tick: func(n int64) {
		watchdog.Reset(stall)
		if n == u.d.Size {
			watchdog.Reset(commitTime)
		}
		u.sent(n)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, u.at.String(), body)
	if err != nil {
		content.Close()
		return err
	}
	req.ContentLength = u.d.Size - u.offset
	if req.ContentLength == 0 {
		req.Body = http.NoBody
		content.Close()
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if u.offset > 0 {
		req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", u.offset, u.d.Size-1))
	}
	resp, err := u.t.send(req)
	if failed := body.failed(); failed != nil {
		if err == nil {
			drain(resp)
		}
		return &contentError{failed}
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("upload: %w", err)
	}
	defer drain(resp)
	if err := check(resp, http.StatusAccepted, http.StatusNoContent, http.StatusCreated); err != nil {
		return &retryError{fmt.Errorf("upload: %w", err), resp}
	}
	at, err := u.t.location(resp)
	if err != nil {
		return err
	}
	u.at = at
	if n, ok := confirmed(resp.Header.Get("Range")); ok && n > 0 && n < u.d.Size {
		u.offset = n // it took a part only
		return fmt.Errorf("upload: registry has taken %d of %d bytes: %w", n, u.d.Size, io.ErrUnexpectedEOF)
	}
	u.offset = u.d.Size
	return nil
}

// commit ends the upload: the registry compares digests.
func (u *upload) commit(ctx context.Context) error {
	at := *u.at
	q := at.Query()
	q.Set("digest", string(u.d.Digest))
	at.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, at.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := u.t.send(req)
	if err != nil {
		return fmt.Errorf("end upload: %w", err)
	}
	defer drain(resp)
	if err := check(resp, http.StatusCreated, http.StatusNoContent, http.StatusAccepted); err != nil {
		u.offset = 0 // whatever is there is not the blob
		return &retryError{fmt.Errorf("end upload: %w", err), resp}
	}
	return nil
}

// sentBody counts what the transport takes and remembers what went wrong with
// the content itself. The transport may go on reading for a moment after it
// has given an answer.
type sentBody struct {
	io.ReadCloser
	n    int64
	tick func(int64)
	err  atomic.Pointer[error]
}

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.n += int64(n)
		b.tick(b.n)
	}
	if err != nil && err != io.EOF && !errors.Is(err, os.ErrClosed) {
		b.err.Store(&err)
	}
	return n, err
}

func (b *sentBody) failed() error {
	if err := b.err.Load(); err != nil {
		return *err
	}
	return nil
}
