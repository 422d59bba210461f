package registry

import (
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"
)

func TestPauseDoublesWithinBounds(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 4: 1600 * time.Millisecond, 20: maxPause} {
		for range 100 {
			if got := pause(200*time.Millisecond, n, nil); got < want/2 || got > want {
				t.Fatalf("pause %d is %v, want %v to %v", n, got, want/2, want)
			}
		}
	}
	asked := &http.Response{Header: http.Header{"Retry-After": {"7"}}}
	if got := pause(time.Millisecond, 1, asked); got != 7*time.Second {
		t.Errorf("the server asked for 7 s, got %v", got)
	}
	asked.Header.Set("Retry-After", "100000")
	if got := pause(time.Millisecond, 1, asked); got != maxPause {
		t.Errorf("the server asked for too much, got %v", got)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "3": 3 * time.Second, "Tue, 01 Jan 2030 00:00:05 GMT": 5 * time.Second, "Mon, 31 Dec 2029 00:00:00 GMT": 0,
	} {
		if got, ok := retryAfter(value, now); !ok || got != want {
			t.Errorf("%q: %v, %v", value, got, ok)
		}
	}
	for _, value := range []string{"", "soon", "-1"} {
		if _, ok := retryAfter(value, now); ok {
			t.Errorf("%q is taken for a time", value)
		}
	}
}

func TestWhatPasses(t *testing.T) {
	for status, want := range map[int]bool{200: false, 401: false, 404: false, 408: true, 429: true, 500: true, 502: true, 503: true, 504: true} {
		if passes(&http.Response{StatusCode: status}, nil) != want {
			t.Errorf("status %d passes: %v", status, !want)
		}
	}
	for err, want := range map[error]bool{io.ErrUnexpectedEOF: true, syscall.ECONNRESET: true, syscall.ECONNREFUSED: false} {
		if passes(nil, err) != want {
			t.Errorf("%v passes: %v", err, !want)
		}
	}
}
