package flock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	try := func(f *os.File, exclusive, want bool) {
		t.Helper()
		if got, err := Try(f, exclusive); got != want || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
	}
	one, two, three := open(t, path), open(t, path), open(t, path)
	try(one, false, true)
	try(two, false, true)
	try(three, true, false)
	one.Close()
	waited := make(chan error)
	go func() { waited <- Wait(t.Context(), three, true) }()
	two.Close()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	try(open(t, path), false, false)
}

// Who gives up waiting keeps nobody else from the lock.
func TestWaitEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	holder, waiter := open(t, path), open(t, path)
	if err := Wait(t.Context(), holder, true); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error)
	go func() { waited <- Wait(ctx, waiter, true) }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	waiter.Close()
	holder.Close()
	if err := Wait(t.Context(), open(t, path), true); err != nil {
		t.Error(err)
	}
}
