package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/creack/pty"
)

func pipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := MakePipe(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}

func TestCopyDrainsAfterTheEnd(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	read, write := pipe(t)
	for run := range 3 { // the same pipe serves a container's restarts
		done := make(chan error)
		go func() { done <- j.Copy(context.Background(), Stdout, read) }()
		cmd := exec.Command("sh", "-c", fmt.Sprintf("for i in 1 2 3 4 5; do echo run %d line $i; done; printf 'no newline'", run))
		cmd.Stdout = write
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		if err := Drain(read); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range 5 {
			want = append(want, fmt.Sprintf("o:run %d line %d", run, i+1))
		}
		want = append(want, "o:no newline")
		if got := show(t, j, Filter{Tail: 6}); got != strings.Join(want, " ") {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestDrainBeforeCopy(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	read, write := pipe(t)
	fmt.Fprintln(write, "short life")
	if err := Drain(read); err != nil {
		t.Fatal(err)
	}
	if err := j.Copy(t.Context(), Stderr, read); err != nil {
		t.Fatal(err)
	}
	if got := show(t, j, Filter{Tail: All}); got != "e:short life" {
		t.Error(got)
	}
}

// A cancelled Copy is an engine that stops: the next one goes on, in the middle
// of a line if need be.
func TestCancelledCopyLeavesTheRest(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	read, write := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- j.Copy(ctx, Stdout, read) }()
	seen := make(chan struct{})
	stop := j.Tap(func(_ string, p []byte) { close(seen) })
	fmt.Fprint(write, "half a ")
	<-seen
	stop()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("Copy = %v", err)
	}
	fmt.Fprint(write, "line\n")
	j.Close()
	j = open(t, dir, Options{})
	next, err := OpenPipe(read.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	Drain(next)
	if err := j.Copy(t.Context(), Stdout, next); err != nil {
		t.Fatal(err)
	}
	if got := show(t, j, Filter{Tail: All}); got != "o:half a line" {
		t.Error(got)
	}
}

func TestContainersEndIsBlocking(t *testing.T) {
	_, write := pipe(t)
	cmd := exec.Command("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' 'a' && echo >/proc/self/fd/1")
	cmd.Stdout = write
	j := open(t, t.TempDir(), Options{})
	read, err := OpenPipe(write.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	done := make(chan error)
	go func() { done <- j.Copy(context.Background(), Stdout, read) }()
	if err := cmd.Run(); err != nil { // EAGAIN would make tr fail
		t.Fatal(err)
	}
	Drain(read)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	total := 0
	j.Read(t.Context(), Filter{Tail: All}, func(e Entry) error { total += len(e.Text); return nil })
	if total != 3_000_000 {
		t.Errorf("%d bytes arrived", total)
	}
}

func TestCopyTerminal(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Skip(err)
	}
	defer master.Close()
	j := open(t, t.TempDir(), Options{})
	done := make(chan error)
	go func() { done <- j.Copy(t.Context(), Stdout, master) }()
	fmt.Fprint(slave, "on a terminal\n")
	slave.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := show(t, j, Filter{Tail: All}); got != "o:on a terminal\r" {
		t.Errorf("%q", got)
	}
}

func TestCopyRefusesBlockingStreams(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	_, write := pipe(t)
	if err := j.Copy(t.Context(), Stdout, write); err == nil {
		t.Error("a blocking stream was accepted: Drain could not end it")
	}
}

// TestIdleCost holds an idle container, both streams, to 30 KiB and 3 open files.
func TestIdleCost(t *testing.T) {
	const containers = 50
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	before, files := memory(), openFiles(t)
	for range containers {
		j := open(t, t.TempDir(), Options{})
		put(t, j, Stdout, "hello\n")
		for _, stream := range []string{Stdout, Stderr} {
			path := filepath.Join(t.TempDir(), stream)
			read, write, err := MakePipe(path)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				defer read.Close()
				done <- j.Copy(ctx, stream, read)
			}()
			seen := make(chan struct{})
			stop := j.Tap(func(string, []byte) { close(seen) })
			fmt.Fprintln(write, "hello")
			<-seen
			stop()
			write.Close()
		}
	}
	each := (memory() - before) / containers
	eachFiles := float64(openFiles(t)-files) / containers
	t.Logf("%d bytes and %.1f open files for each idle container", each, eachFiles)
	if each > 30<<10 || eachFiles > 3.1 {
		t.Errorf("%d bytes and %.1f open files for each idle container", each, eachFiles)
	}
	cancel()
	for range 2 * containers {
		<-done
	}
}

func memory() int {
	runtime.GC()
	runtime.GC() // sync.Pool lets go at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestDrainTerminal(t *testing.T) {
	for _, keepsOpen := range []bool{false, true} {
		master, slave, err := pty.Open()
		if err != nil {
			t.Skip(err)
		}
		j := open(t, t.TempDir(), Options{})
		fmt.Fprint(slave, strings.Repeat("x", 2000)+"\nlast")
		if !keepsOpen {
			slave.Close()
		}
		Drain(master)
		if err := j.Copy(t.Context(), Stdout, master); err != nil {
			t.Fatal(err)
		}
		if got := show(t, j, Filter{Tail: 1}); got != "o:last" {
			t.Errorf("%q", got)
		}
		slave.Close()
		master.Close()
	}
}
