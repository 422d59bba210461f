package fieldtest

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestHello runs the first example. Its volumes keep the count of visitors and
// the compiled programs over `down`.
func TestHello(t *testing.T) {
	s := newStage(t)
	s.dir = filepath.Join(repository(t), "examples", "hello")
	visit := func(want string) {
		t.Helper()
		if page := get(t, "http://127.0.0.1:8080/"); !strings.Contains(page, "Hello, visitor "+want+"!") {
			t.Errorf("page:\n%s\nwant visitor %s", page, want)
		}
	}
	s.run(t, "up", "-d", "--wait")
	visit("1")
	visit("2")
	s.run(t, "down")
	s.run(t, "up", "-d", "--wait")
	visit("3")
	s.run(t, "restart", "store")
	s.run(t, "up", "-d", "--wait") // restart does not wait for health
	visit("4")
	s.run(t, "restart", "web")
	visit("5") // web's published port holds the connection until it listens
	s.run(t, "down", "-v")
}
