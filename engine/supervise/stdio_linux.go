package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/logs"
)

// stdio is the container's ends of its standard streams, for one launch.
type stdio struct{ in, out, err *os.File }

func (s *stdio) closeChildEnds() {
	for _, f := range []*os.File{s.in, s.out, s.err} {
		if f != nil {
			f.Close()
		}
	}
}

// output is the engine's side of a running container's streams. The guard has
// duplicates of its files, so that nothing is lost while there is no engine.
type output struct {
	readers map[string]*os.File // guard's name -> read end or pty master
	streams map[string]string   // guard's name -> stdout, stderr
	copies  sync.WaitGroup
}

// Names under which the guard keeps a container's descriptors.
func keptOutput(id, stream string) string { return "log/" + id + "/" + stream }
func keptStdin(id string) string          { return "stdin/" + id }

const ttyStream = "tty"

// openStdio makes the pipes for one launch. A container with a terminal gets
// its streams from the runtime instead.
func (u *Unit) openStdio(r *run) (*stdio, error) {
	std := &stdio{}
	r.out = &output{readers: map[string]*os.File{}, streams: map[string]string{}}
	if u.rec.Declared.TTY {
		return std, nil
	}
	dir, err := u.m.Records.ContainerDir(u.p.Name, u.id)
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		name string
		to   **os.File
	}{{"stdout", &std.out}, {"stderr", &std.err}} {
		read, write, err := logs.MakePipe(filepath.Join(dir, s.name))
		if err != nil {
			std.closeChildEnds()
			r.out.close(u)
			return nil, err
		}
		*s.to = write
		r.out.add(u, s.name, s.name, read)
	}
	if u.rec.Declared.StdinOpen {
		in, w, err := openStdin(filepath.Join(dir, "stdin"))
		if err != nil {
			std.closeChildEnds()
			r.out.close(u)
			return nil, err
		}
		std.in = in
		r.setStdin(w)
		u.keep(keptStdin(u.id), w)
	}
	return std, nil
}

// openStdin makes a FIFO for standard input: the container reads it until the
// engine's end is closed.
func openStdin(path string) (r, w *os.File, err error) {
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, nil, fmt.Errorf("make pipe %s: %w", path, err)
	}
	// The reader must not wait for a writer, but must not stay non-blocking.
	rfd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open pipe %s: %w", path, err)
	}
	wfd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		if err = unix.SetNonblock(rfd, false); err != nil {
			unix.Close(wfd)
		}
	}
	if err != nil {
		unix.Close(rfd)
		return nil, nil, fmt.Errorf("open pipe %s: %w", path, err)
	}
	return os.NewFile(uintptr(rfd), path), os.NewFile(uintptr(wfd), path), nil
}

func (o *output) add(u *Unit, kept, stream string, f *os.File) {
	name := keptOutput(u.id, kept)
	o.readers[name], o.streams[name] = f, stream
	u.keep(name, f)
}

// followOutput begins to copy the container's output into its journal.
// console is the master of its terminal, nil without one.
func (u *Unit) followOutput(r *run, console *os.File) error {
	if console != nil {
		r.out.add(u, ttyStream, "stdout", console)
		r.setConsole(console)
	}
	for name, f := range r.out.readers {
		r.out.copies.Go(func() { u.m.warn(u.journal.Copy(context.Background(), r.out.streams[name], f)) })
	}
	return nil
}

// drainOutput takes what is left of the output of a process that has ended.
func (u *Unit) drainOutput(r *run) {
	for _, f := range r.out.readers {
		u.m.warn(logs.Drain(f))
	}
	r.out.copies.Wait()
	r.setConsole(nil)
	r.out.close(u)
	if w := r.setStdin(nil); w != nil {
		w.Close()
		u.drop(keptStdin(u.id))
	}
}

func (o *output) close(u *Unit) {
	for name, f := range o.readers {
		f.Close()
		u.drop(name)
	}
	clear(o.readers)
}

// keep and drop hand descriptors to the guard, where there is one.
func (u *Unit) keep(name string, f *os.File) {
	if u.m.Guard != nil {
		u.m.warn(u.m.Guard.Keep(name, f))
	}
}

func (u *Unit) drop(name string) {
	if u.m.Guard != nil {
		u.m.warn(u.m.Guard.Drop(name))
	}
}

func (r *run) setStdin(f *os.File) (old *os.File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, r.stdin = r.stdin, f
	return old
}

func (r *run) setConsole(f *os.File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.console = f
}

func (r *run) input() *os.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.console != nil {
		return r.console
	}
	return r.stdin
}

// Attachment is somebody who sees a container's raw output.
type Attachment struct{ stop func() }

// Close ends the attachment.
func (a *Attachment) Close() { a.stop() }

// Attach sends everything that the container writes from now on to stdout and
// stderr.
func (u *Unit) Attach(stdout, stderr io.Writer) *Attachment {
	stop := u.Journal().Tap(func(stream string, p []byte) {
		if stream == "stderr" {
			stderr.Write(p)
			return
		}
		stdout.Write(p)
	})
	return &Attachment{stop: sync.OnceFunc(stop)}
}

// Stdin writes to the container's standard input or terminal; without either,
// what is written is lost.
func (u *Unit) Stdin() io.Writer { return stdinWriter{u} }

type stdinWriter struct{ u *Unit }

func (w stdinWriter) Write(p []byte) (int, error) {
	r := w.u.currentRun()
	if r == nil {
		return 0, os.ErrClosed
	}
	f := r.input()
	if f == nil {
		return len(p), nil
	}
	return f.Write(p)
}

// CloseStdin ends the container's standard input. A terminal stays: its user
// ends it by what he types.
func (u *Unit) CloseStdin() {
	r := u.currentRun()
	if r == nil {
		return
	}
	if w := r.setStdin(nil); w != nil {
		w.Close()
		u.drop(keptStdin(u.id))
	}
}

// Resize tells the container's terminal, if it has one, its size.
func (u *Unit) Resize(size api.TTYSize) {
	r := u.currentRun()
	if r == nil || size.Rows == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.console != nil {
		u.m.warn(container.Resize(r.console, size.Rows, size.Cols))
	}
}

// DrainDeadline is until when output is read that a process left in a pipe
// which its own children may hold open.
func DrainDeadline() time.Time { return time.Now().Add(probeDrain) }

// AwaitEnd waits until the container has no process and will get none by
// itself.
func (u *Unit) AwaitEnd(ctx context.Context) {
	r := u.currentRun()
	if r == nil {
		return
	}
	select {
	case <-r.ended:
	case <-ctx.Done():
	}
}

// Active reports whether the container has a process or will get one by itself.
func (u *Unit) Active() bool { return u.active() }

// logOptions reads the bounds of the json-file and local log drivers.
func (u *Unit) logOptions(s *compose.Service) logs.Options {
	o := logs.Options{OnError: u.m.Warn, Memory: u.m.Unwritten}
	if s.Logging == nil {
		return o
	}
	size, _ := compose.ParseBytes(s.Logging.Options["max-size"])
	o.MaxSize = int64(size)
	fmt.Sscan(s.Logging.Options["max-file"], &o.MaxFiles)
	return o
}
