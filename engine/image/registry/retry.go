package registry

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// attempts is how often a request is made before its failure is final.
const attempts = 5

// maxPause bounds what a server can make us wait.
const maxPause = 30 * time.Second

// retrier repeats requests that failed for reasons that pass.
type retrier struct {
	next  http.RoundTripper
	first time.Duration
}

func (r retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		resp, err := r.next.RoundTrip(req)
		if n == attempts || !repeatable(req) || !passes(resp, err) {
			return resp, err
		}
		wait := pause(r.first, n, resp)
		if resp != nil {
			io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
			resp.Body.Close()
		}
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
	}
}

func repeatable(req *http.Request) bool {
	return (req.Method == http.MethodGet || req.Method == http.MethodHead) && (req.Body == nil || req.Body == http.NoBody)
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
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, errStalled)
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
