//go:build unix

package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"devstack/engine/api"
)

// forwarded are the signals that go on to a process in a container, beside
// SIGINT and SIGTERM.
func forwarded() []os.Signal {
	return []os.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
}

// watchSize tells the terminal's size whenever it changes, until stop.
func watchSize(stream io.Writer) (sizes <-chan api.TTYSize, stop func()) {
	winch := make(chan os.Signal, 1)
	out := make(chan api.TTYSize, 1)
	done := make(chan struct{})
	signal.Notify(winch, syscall.SIGWINCH)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-winch:
			}
			select {
			case out <- ttySize(stream):
			case <-done:
				return
			}
		}
	}()
	return out, func() { signal.Stop(winch); close(done) }
}
