package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openMemory(t *testing.T, path string) *Memory {
	t.Helper()
	m, err := OpenMemory(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// copyUntilKilled is a process's life: it copies a pipe into a journal.
func copyUntilKilled(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	m, err := OpenMemory(filepath.Join(dir, "unwritten"))
	fail(err)
	j, err := Open(filepath.Join(dir, "log"), Options{Memory: m, MaxSize: 64 << 10, MaxFiles: 1000})
	fail(err)
	read, err := OpenPipe(filepath.Join(dir, "stdout"))
	fail(err)
	fmt.Println("ready")
	fail(j.Copy(context.Background(), Stdout, read))
}

const copyDir = "LOGS_TEST_COPY_DIR"

// A process that is killed at any moment while it copies loses no line, and the
// next one writes none twice.
func TestKilledCopyLosesNothing(t *testing.T) {
	if dir := os.Getenv(copyDir); dir != "" {
		copyUntilKilled(dir)
		return
	}
	dir := t.TempDir()
	read, write, err := MakePipe(filepath.Join(dir, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	const kills = 40
	enough, wrote := make(chan struct{}), make(chan int)
	go func() {
		defer write.Close()
		for n := 0; ; n++ {
			select {
			case <-enough:
				wrote <- n
				return
			default:
				fmt.Fprintf(write, "line %d\n", n)
			}
		}
	}()
	for range kills {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilledCopyLosesNothing$")
		cmd.Env = append(os.Environ(), copyDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(rand.IntN(3000)) * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	j := open(t, filepath.Join(dir, "log"), Options{Memory: openMemory(t, filepath.Join(dir, "unwritten")), MaxSize: 64 << 10, MaxFiles: 1000})
	done := make(chan error)
	go func() { done <- j.Copy(context.Background(), Stdout, read) }()
	close(enough)
	lines := <-wrote
	if err := Drain(read); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n := 0
	err = j.Read(t.Context(), Filter{Tail: All}, func(e Entry) error {
		if got := strings.TrimRight(string(e.Text), "\n"); got != fmt.Sprintf("line %d", n) {
			return fmt.Errorf("line %d is %q", n, got)
		}
		n++
		return nil
	})
	if err != nil || n != lines {
		t.Errorf("%d lines of %d: %v", n, lines, err)
	}
}

// What a place holds is written by the next Open, whenever the process was
// killed.
func TestWhatWasHeldIsWritten(t *testing.T) {
	const text = "one\ntwo\nthr"
	for _, c := range []struct {
		name  string
		leave func(j *Journal, p *place)
		want  string
	}{
		{"before the read", func(*Journal, *place) {}, "o:before"},
		{"after the read", func(_ *Journal, p *place) { copy(p.data[:], text) }, "o:before o:one o:two o:three"},
		{"before the write", func(_ *Journal, p *place) {
			p.hold(copy(p.data[:], text))
		}, "o:before o:one o:two o:three"},
		{"in the write", func(j *Journal, p *place) {
			p.hold(copy(p.data[:], text))
			p.writing(j.last, j.size)
			j.file.WriteString("2026-01-02T15:04:05.123456789Z stdout F one\n2026-01-02T15:0")
		}, "o:before o:one o:two o:three"},
		{"after the first of two writes", func(j *Journal, p *place) {
			n := p.data[:copy(p.data[:], text)]
			p.hold(len(n))
			b := &buffer{}
			if err := j.add(b, nil, Stdout, time.Now(), n[:4]); err != nil {
				panic(err)
			}
			p.written(len(n) - 4)
		}, "o:before o:one o:two o:three"},
		{"after the last write", func(j *Journal, p *place) {
			n := p.data[:copy(p.data[:], text)]
			p.hold(len(n))
			if err := j.add(&buffer{}, p, Stdout, time.Now(), n); err != nil {
				panic(err)
			}
		}, "o:before o:one o:two o:three"},
		{"when a write has failed and another stream wrote since", func(j *Journal, p *place) {
			p.hold(copy(p.data[:], text))
			p.writing(j.last, j.size)
			p.failed()
			if err := j.Append(Stderr, time.Now(), []byte("other\n")); err != nil {
				panic(err)
			}
		}, "o:before e:other o:one o:two o:three"},
		{"when it was given back", func(j *Journal, p *place) {
			p.hold(copy(p.data[:], text))
			p.phase.Store(placeFree) // and not yet cleared
		}, "o:before o:ee"},
		{"garbage", func(_ *Journal, p *place) {
			p.hold(copy(p.data[:], text))
			p.n.Store(1 << 40)
		}, "o:before o:ee"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, path := t.TempDir(), filepath.Join(t.TempDir(), "unwritten")
			first := openMemory(t, path)
			j := open(t, dir, Options{Memory: first})
			put(t, j, Stdout, "before\n")
			c.leave(j, first.take(j.owner, 0))

			second := openMemory(t, path)
			other := open(t, t.TempDir(), Options{Memory: second})
			if got := show(t, other, Filter{Tail: All}); got != "" {
				t.Errorf("another journal has %q", got)
			}
			j = open(t, dir, Options{Memory: second})
			put(t, j, Stdout, "ee\n")
			want := c.want
			if c.name == "before the read" {
				want += " o:ee"
			}
			if got := show(t, j, Filter{Tail: All}); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if n := len(second.free); n != mostPlaces {
				t.Errorf("%d of %d places are free", n, mostPlaces)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(data, []byte("two")) {
				t.Error("the memory still has it")
			}
			// And once more: nothing is left for the next one.
			if got := show(t, open(t, dir, Options{Memory: openMemory(t, path)}), Filter{Tail: All}); got != want {
				t.Errorf("the second time %s", got)
			}
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := openMemory(t, filepath.Join(t.TempDir(), "unwritten"))
	var all []*place
	for p := m.take(owner{1}, 0); p != nil; p = m.take(owner{1}, 0) {
		all = append(all, p)
	}
	if len(all) != mostPlaces {
		t.Errorf("%d places", len(all))
	}
	for _, p := range all {
		m.give(p)
	}
	if m.take(owner{2}, 1) == nil {
		t.Error("no place is free again")
	}
	var none *Memory
	if none.take(owner{}, 0) != nil || none.claim(owner{}) != nil {
		t.Error("no memory has places")
	}
	none.Forget()
}

func TestForgottenIsWrittenNoMore(t *testing.T) {
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "unwritten")
	first := openMemory(t, path)
	j := open(t, dir, Options{Memory: first})
	p := first.take(j.owner, 1)
	p.hold(copy(p.data[:], "lost\n"))
	second := openMemory(t, path)
	second.Forget()
	if got := show(t, open(t, dir, Options{Memory: second}), Filter{Tail: All}); got != "" || len(second.free) != mostPlaces {
		t.Errorf("got %q, %d places are free", got, len(second.free))
	}
}
