package logs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// ErrClosed is returned by a journal that was closed.
var ErrClosed = errors.New("journal is closed")

// Options of a Journal; the zero value is useful.
type Options struct {
	MaxSize  int64 // bytes of one file; 0: 16 MiB
	MaxFiles int   // 0: 4
	// OnError hears of lines that could not be written (a full disk). They are
	// dropped, for the container must not stand still, and counted: a line in
	// their place says how many were lost. It must not block.
	OnError func(error)
	// Memory keeps what was read and not written when the process is killed.
	Memory *Memory
}

// Journal is one container's log. Its methods may be called at the same time.
// It opens its file at the first write, so a stopped container's costs nothing.
type Journal struct {
	dir     string
	owner   owner
	options Options

	mu          sync.Mutex
	file        *os.File
	first, last int     // numbers of the files that exist; last grows. 0: none
	size        int64   // of the last file; always the end of a record
	open        [2]bool // the stream is in the middle of a line
	failing     bool    // the last write failed
	lost        [2]loss // since then
	closed      bool
	wake        chan struct{} // closed at the next change; nil: nobody waits
	taps        []*tap        // replaced, never changed
}

type tap struct{ fn func(stream string, p []byte) }

// Open opens the journal in dir, which need not exist yet. What a crash has
// torn off the end of the last file is removed, and what it has left in the
// Memory is written.
func Open(dir string, o Options) (*Journal, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = 16 << 20
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 4
	}
	j := &Journal{dir: dir, owner: sha256.Sum256([]byte(dir)), options: o}
	left := o.Memory.claim(j.owner)
	if err := j.undo(left); err != nil {
		return nil, fmt.Errorf("recover journal: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%d.log", &n); err != nil || j.name(n) != filepath.Join(dir, e.Name()) || n < 1 {
			continue
		}
		if j.first == 0 || n < j.first {
			j.first = n
		}
		j.last = max(j.last, n)
	}
	if j.last > 0 {
		if err := j.recover(); err != nil {
			return nil, fmt.Errorf("recover journal: %w", err)
		}
	}
	j.redo(left)
	return j, nil
}

// undo takes back a write that a crash has cut short: a part of its records may
// be there.
func (j *Journal) undo(left []*place) error {
	for _, p := range left {
		_, file, size := p.unwritten()
		if size < 0 {
			continue
		}
		st, err := os.Stat(j.name(file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil && st.Size() > size {
			err = os.Truncate(j.name(file), size)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// redo writes what was read by an engine that did not live to write it. Errors
// are OnError's.
func (j *Journal) redo(left []*place) {
	for _, p := range left {
		data, _, _ := p.unwritten()
		b := buffers.Get().(*buffer)
		_ = j.add(b, p, streamName(int(p.stream)), time.Now(), data)
		buffers.Put(b)
		j.options.Memory.wipe(p)
	}
}

func (j *Journal) name(n int) string { return filepath.Join(j.dir, fmt.Sprintf("%08d.log", n)) }

// recover finds the end of the last record and the streams that are in the
// middle of a line, and cuts off what follows that record.
func (j *Journal) recover() (err error) {
	if j.size, err = j.recoverFile(j.last); err != nil {
		return err
	}
	// The last file may have been begun just then: the line is in the one before.
	for n, size := j.last, j.size; size == 0 && n > j.first; {
		n--
		if size, err = j.recoverFile(n); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// recoverFile is recover for one file. It returns how long that is then.
func (j *Journal) recoverFile(n int) (size int64, err error) {
	f, err := os.OpenFile(j.name(n), os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	// 64 KiB hold several records of any size. Where they hold none there is
	// garbage, and the search takes in more.
	for window, from := int64(64<<10), st.Size(); from > 0; window *= 2 {
		from = max(0, st.Size()-window)
		buf := make([]byte, st.Size()-from)
		if _, err := f.ReadAt(buf, from); err != nil && err != io.EOF {
			return 0, err
		}
		if end := j.lastRecord(buf); end > 0 {
			size = from + int64(end)
			break
		}
	}
	if size == st.Size() {
		return size, nil
	}
	return size, f.Truncate(size)
}

// lastRecord returns where the last record in buf ends.
func (j *Journal) lastRecord(buf []byte) (end int) {
	for at := 0; ; {
		nl := bytes.IndexByte(buf[at:], '\n')
		if nl < 0 {
			return end
		}
		if r, ok := parseRecord(buf[at : at+nl]); ok {
			end = at + nl + 1
			j.open[r.stream] = !r.ends
		}
		at += nl + 1
	}
}

// Append adds the next bytes of a stream, with newlines or without. The journal
// takes what it is given at once; where a line is not complete, it waits there.
func (j *Journal) Append(stream string, t time.Time, p []byte) error {
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	return j.add(b, nil, stream, t, p)
}

// add is Append of bytes that lie at the end of what pl holds; nil: in plain
// memory.
func (j *Journal) add(b *buffer, pl *place, stream string, t time.Time, p []byte) error {
	i, err := index(stream)
	if err != nil {
		return err
	}
	stamp := t.UTC().Format(stampLayout)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.admitLoss(); err != nil {
		return j.lose(i, p, err)
	}
	open, unwritten := j.open[i], p
	for len(p) > 0 {
		part := p[:min(len(p), 4<<10)] // 4 KiB of newlines make 170 KiB of records
		p = p[len(part):]
		b.out, open = appendPieces(b.out, stamp, i, open, part)
		if len(b.out) >= 64<<10 || len(p) == 0 {
			err = j.write(b.out, pl)
			b.out = b.out[:0]
			if err != nil {
				return j.lose(i, unwritten, err)
			}
			j.open[i], unwritten = open, p
			pl.written(len(p))
		}
	}
	return nil
}

// endLine ends the line that a stream is in the middle of, if any: the
// container has ended, the next run begins a line of its own.
func (j *Journal) endLine(stream int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lost[stream].inLine = false
	if err := j.admitLoss(); err != nil || !j.open[stream] {
		return err
	}
	j.open[stream] = false
	stamp := time.Now().UTC().Format(stampLayout)
	return j.write(appendRecord(nil, stamp, record{stream: stream, continues: true, ends: true}), nil)
}

// write appends whole records with one write(2); pl, which may be nil, holds
// what they are made of. It needs j.mu.
func (j *Journal) write(records []byte, pl *place) error {
	err := j.prepare(len(records))
	if err == nil {
		pl.writing(j.last, j.size)
		var n int
		if n, err = j.file.Write(records); err == nil {
			j.size += int64(n)
			j.failing = false
			j.broadcast()
			return nil
		}
		err = errors.Join(err, j.file.Truncate(j.size)) // half a record is none
		pl.failed()                                     // others may write there before pl is given back
	}
	err = fmt.Errorf("write journal: %w", err)
	if !j.failing && j.options.OnError != nil && !errors.Is(err, ErrClosed) {
		j.options.OnError(err)
	}
	j.failing = true
	return err
}

// prepare opens the file to write to. It needs j.mu.
func (j *Journal) prepare(n int) error {
	if j.closed {
		return ErrClosed
	}
	full := j.size > 0 && j.size+int64(n) > j.options.MaxSize
	if j.file != nil && !full {
		return nil
	}
	next, flags := max(j.last, 1), os.O_WRONLY|os.O_APPEND|os.O_CREATE
	if full {
		next, flags = j.last+1, flags|os.O_TRUNC
	}
	f, err := os.OpenFile(j.name(next), flags, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(j.dir, 0o700); err == nil {
			f, err = os.OpenFile(j.name(next), flags, 0o600)
		}
	}
	if err != nil {
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	if full {
		j.size = 0
	}
	j.file, j.last = f, next
	if j.first == 0 {
		j.first = next
	}
	for ; j.last-j.first >= j.options.MaxFiles; j.first++ {
		os.Remove(j.name(j.first)) // its readers have it open
	}
	return nil
}

// broadcast wakes everybody who waits for a change. It needs j.mu.
func (j *Journal) broadcast() {
	if j.wake != nil {
		close(j.wake)
		j.wake = nil
	}
}

// Close ends the journal: followers come to the end and return.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	_ = j.admitLoss() // for the last time
	j.closed = true
	j.broadcast()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// Tap calls fn with everything that Copy reads from now on, raw, before it is
// written, until stop is called (a call that is under way may still end after
// that). While fn blocks, the container's stream stands still: that is what a
// terminal wants, and why fn must give up when its reader has gone.
func (j *Journal) Tap(fn func(stream string, p []byte)) (stop func()) {
	t := &tap{fn}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.taps = append(slices.Clone(j.taps), t)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.taps = slices.DeleteFunc(slices.Clone(j.taps), func(o *tap) bool { return o == t })
	}
}

func (j *Journal) tapped() []*tap {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.taps
}
