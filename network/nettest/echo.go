package nettest

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Echo answers every connection with what it says, until the test ends.
func Echo(t testing.TB, l net.Listener) {
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				_, _ = io.Copy(c, c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
}

// Roundtrip says something and expects it back.
func Roundtrip(c net.Conn) error {
	c.SetDeadline(time.Now().Add(5 * time.Second))
	defer c.SetDeadline(time.Time{})
	const word = "hello"
	if _, err := io.WriteString(c, word); err != nil {
		return err
	}
	var b [len(word)]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	if string(b[:]) != word {
		return fmt.Errorf("said %q, heard %q", word, b)
	}
	return nil
}
