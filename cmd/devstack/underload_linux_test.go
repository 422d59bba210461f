package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// restartsEnv says how often `restarts` repeats its command; `make soak` sets
// it higher than a test needs.
const restartsEnv = "DEVSTACK_TEST_RESTARTS"

// cmdUnderLoad: `underload URL N COMMAND...` runs a command N times, or as often
// as DEVSTACK_TEST_RESTARTS says, while clients without keep-alive ask URL as
// fast as they can. Every request must be answered with 200. It prints how many
// there were, and how long the longest took.
func cmdUnderLoad(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: underload URL N COMMAND...")
	}
	times, err := strconv.Atoi(cmp.Or(os.Getenv(restartsEnv), args[1]))
	ts.Check(err)
	l := startLoad(args[0], 4)
	for i := range times {
		if err := ts.Exec(args[2], args[3:]...); err != nil {
			l.stop()
			ts.Fatalf("time %d: %v", i+1, err)
		}
		l.some() // there must be load on every generation
	}
	l.stop()
	fmt.Fprintf(ts.Stdout(), "%d requests, %d failed, the longest took %s\n", l.done, len(l.failed), l.longest.Round(time.Millisecond))
	ts.Logf("%d requests during %d of %v, %d failed, the longest took %s", l.done, times, args[2:], len(l.failed), l.longest.Round(time.Millisecond))
	if len(l.failed) > 0 {
		ts.Fatalf("first of the failed requests: %v", l.failed[0])
	}
}

// clients are clients at work.
type clients struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	more   chan struct{} // gets one for an answer, where somebody waits for it

	mu      sync.Mutex
	done    int
	failed  []error
	longest time.Duration
}

func startLoad(url string, n int) *clients {
	ctx, cancel := context.WithCancel(context.Background())
	l := &clients{cancel: cancel, more: make(chan struct{})}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for range n {
		l.work.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				err := ask(&client, url)
				l.count(time.Since(began), err)
				select {
				case l.more <- struct{}{}:
				default:
				}
			}
		})
	}
	return l
}

// ask makes one request, which is not cut short when the load ends.
func ask(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(io.Discard, resp.Body); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return err
}

func (l *clients) count(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	l.longest = max(l.longest, took)
	if err != nil {
		l.failed = append(l.failed, fmt.Errorf("after %s: %w", took, err))
	}
}

// some waits for a few answers.
func (l *clients) some() {
	for range 8 {
		<-l.more
	}
}

func (l *clients) stop() {
	l.cancel()
	l.work.Wait()
}
