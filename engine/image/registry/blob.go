package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
)

// stall is how long a server may send nothing before the connection counts as
// dropped.
const stall = 60 * time.Second

var errStalled = errors.New("server has sent nothing for a minute")

// blob is the body of a blob over as many connections as it takes.
type blob struct {
	ctx      context.Context
	at       *endpoint
	others   []*endpoint // not tried yet
	url      string
	digest   digest.Digest
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
	resp, err := b.at.do(req)
	if err != nil {
		cancel(nil)
		return err
	}
	if err := check(resp, http.StatusOK, want); err != nil {
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

// reconnect waits longer each time until bytes come again, and turns to the
// next endpoint when this one gives none.
func (b *blob) reconnect() error {
	for {
		b.failures++
		if b.failures > attempts {
			if b.next() {
				continue
			}
			if b.ended {
				return io.EOF // this is all there is
			}
			return fmt.Errorf("connection broke %d times in a row at byte %d of %d", attempts, b.offset, b.size)
		}
		if err := sleep(b.ctx, pause(b.at.first, b.failures, nil)); err != nil {
			return err
		}
		err := b.connect()
		if err == nil {
			return nil
		}
		var status *StatusError
		if b.ctx.Err() != nil || errors.As(err, &status) && !b.next() {
			return err
		}
	}
}

// next turns to another endpoint.
func (b *blob) next() bool {
	for len(b.others) > 0 {
		e := b.others[0]
		b.others = b.others[1:]
		s, err := e.session(b.ctx)
		if err != nil {
			continue
		}
		b.at, b.url = e, s.url("blobs", string(b.digest))
		b.failures, b.ended, b.noRanges = 0, false, false
		return true
	}
	return false
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
