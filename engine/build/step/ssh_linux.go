package step

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// AgentSocket is a socket for one command that leads to an ssh agent outside.
// The agent's own cannot be mounted: its owner and mode are for others.
type AgentSocket struct {
	Path  string // where to make it
	Agent string // the agent's
	Mode  os.FileMode
	UID   int
	GID   int
}

// Serve makes the socket and connects whoever comes until end.
func (s AgentSocket) Serve() (end func() error, err error) {
	probe, err := net.Dial("unix", s.Agent)
	if err != nil {
		return nil, fmt.Errorf("reach ssh agent: %w", err)
	}
	probe.Close()
	l, err := net.Listen("unix", s.Path)
	if err != nil {
		return nil, fmt.Errorf("make ssh socket: %w", err)
	}
	if err = os.Chmod(s.Path, s.Mode); err == nil {
		err = os.Chown(s.Path, s.UID, s.GID)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("make ssh socket: %w", err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	ended := false
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", s.Agent)
			if err != nil {
				c.Close()
				continue
			}
			mu.Lock()
			if ended {
				c.Close()
				out.Close()
			}
			open[c], open[out] = true, true
			mu.Unlock()
			relay := func(to, from net.Conn) {
				io.Copy(to, from)
				to.Close()
				mu.Lock()
				delete(open, to)
				mu.Unlock()
			}
			wg.Go(func() { relay(out, c) })
			wg.Go(func() { relay(c, out) })
		}
	})
	return func() error {
		err := l.Close()
		mu.Lock()
		ended = true
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
		return err
	}, nil
}
