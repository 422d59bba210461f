package registry

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attempts is how often a request is made before its failure is final.
const attempts = 5

// maxPause bounds what a server can make us wait.
const maxPause = 30 * time.Second

// Longest times to wait for the first byte of an answer. A registry hashes a
// whole blob before it answers the PUT that ends an upload.
const (
	answerTime = 60 * time.Second
	commitTime = 10 * time.Minute
)

var errNoAnswer = errors.New("server does not answer")

// retrier repeats requests that failed for reasons that pass.
type retrier struct {
	next  http.RoundTripper
	first time.Duration
}

func (r retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		resp, err := r.once(req)
		if n == attempts || !repeatable(req) || !passes(resp, err) {
			return resp, err
		}
		wait := pause(r.first, n, resp)
		if resp != nil {
			drain(resp)
		}
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
		if req.GetBody != nil {
			req = req.Clone(req.Context())
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// once is one attempt with a bound on how long the server may think. PATCH has
// none: its answer comes after a body of any length; see upload.
func (r retrier) once(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPatch {
		return r.next.RoundTrip(req)
	}
	wait := answerTime
	if req.Method == http.MethodPut {
		wait = commitTime
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(wait, func() { cancel(errNoAnswer) })
	resp, err := r.next.RoundTrip(req.WithContext(ctx))
	timer.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &endedBody{resp.Body, func() { cancel(nil) }}
	return resp, nil
}

// endedBody frees a request's context when its answer has been read.
type endedBody struct {
	io.ReadCloser
	end func()
}

func (b *endedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// repeatable says whether a request can be sent again: it has no body, or one
// that can be had again. None of ours does harm by happening twice.
func repeatable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// passes says whether trying again may help.
func passes(resp *http.Response, err error) bool {
	if err != nil {
		return dropped(err)
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// dropped tells a connection that broke from one that never was.
func dropped(err error) bool {
	if strings.Contains(err.Error(), "http2: ") || strings.Contains(err.Error(), "stream error: ") {
		return true // net/http keeps the types of HTTP/2's errors to itself
	}
	return errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, errStalled) || errors.Is(err, errNoAnswer)
}

// pause is how long to wait after the nth failure: what the server asks for,
// else doubling with some disorder so that many clients do not march in step.
func pause(first time.Duration, n int, resp *http.Response) time.Duration {
	if resp != nil {
		if after, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
			return min(after, maxPause)
		}
	}
	d := min(first<<(n-1), maxPause)
	return d/2 + rand.N(d/2+1)
}

func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	if s, err := strconv.Atoi(value); err == nil && s >= 0 {
		return time.Duration(s) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
