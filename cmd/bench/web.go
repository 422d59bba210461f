package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// web is the role "web": an HTTP service inside the container, which answers
// every request with what a file has now, or had when the service started.
func web(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: web now|start FILE")
	}
	page, err := os.ReadFile(args[1])
	if err != nil && args[0] == "start" {
		return err
	}
	return http.ListenAndServe(fmt.Sprintf(":%d", servePort), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := page
		if args[0] == "now" {
			now, err := os.ReadFile(args[1])
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			answer = now
		}
		w.Write(answer) // a client that is gone is nothing to report
	}))
}

// webURL is where the projects of bench publish the service.
var webURL = fmt.Sprintf("http://127.0.0.1:%d/", publishedPort)

// patience is how long a client waits for an answer, and an edit for being live.
const patience = 30 * time.Second

// newClient makes a connection for each request, where t publishes its ports.
func newClient(t tool) *http.Client {
	dial := (&net.Dialer{}).DialContext
	if t.outside {
		dial = dialOutside
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}, Timeout: patience}
}

// ask gives the page that the service has.
func ask(ctx context.Context, c *http.Client) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, webURL, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s: %s", resp.Status, body)
	}
	return strings.TrimSpace(string(body)), err
}

// load is a few clients that ask without a pause, each one thing at a time.
type load struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	more   chan struct{} // gets one for an answer where somebody waits for it

	mu      sync.Mutex
	asked   int
	failed  []error
	longest time.Duration
}

func startLoad(t tool, clients int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, more: make(chan struct{})}
	client := newClient(t)
	for range clients {
		l.work.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				_, err := ask(context.Background(), client) // the end cuts nothing short
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

func (l *load) count(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	l.longest = max(l.longest, took)
	if err != nil {
		l.failed = append(l.failed, fmt.Errorf("after %s: %w", took.Round(time.Millisecond), err))
	}
}

// some waits for a few answers.
func (l *load) some() {
	for range 8 {
		<-l.more
	}
}

func (l *load) stop() {
	l.cancel()
	l.work.Wait()
}
