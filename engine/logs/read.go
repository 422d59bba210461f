package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"
)

// maxEntry bounds how much of one line is joined, in bytes.
const maxEntry = 1 << 20

// Entry is one line that a container wrote.
type Entry struct {
	Stream string    // Stdout, Stderr
	Time   time.Time // when it began
	Text   []byte    // without its newline; valid during the call only
	// Partial says that no newline followed (yet): the line was longer than
	// 1 MiB and the stream's next entry continues it, or the container is in
	// the middle of it.
	Partial bool
}

// All is the Tail that selects everything.
const All = -1

// Filter selects entries.
type Filter struct {
	Since, Until time.Time // zero: no bound
	Tail         int       // that many entries from the end; negative: all
	// Follow goes on with what is written later, until the context ends, Until
	// has passed, Stop is closed or the journal is.
	Follow bool
	// Stop ends a Follow after what has been written so far.
	Stop <-chan struct{}
	// From, if set, is where to begin, in place of Tail, if an earlier Read has
	// set it: to where it ended.
	From *Position
}

// Position is a place in a journal; the zero value is none.
type Position struct {
	file   int
	offset int64
}

// Read calls fn with the entries that f selects, in the order in which they
// ended. It returns nil at the end, fn's error, or the context's.
func (j *Journal) Read(ctx context.Context, f Filter, fn func(Entry) error) error {
	if f.Follow && !f.Until.IsZero() {
		var cancel context.CancelFunc
		stop := make(chan struct{})
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		timer := time.AfterFunc(time.Until(f.Until), func() { close(stop) })
		defer timer.Stop()
		f.Stop = either(ctx, f.Stop, stop)
	}
	j.mu.Lock()
	_ = j.admitLoss() // the container may be silent since
	j.mu.Unlock()
	r := &reader{j: j, filter: f, fn: fn}
	defer r.closeFile()
	if f.From != nil {
		defer func() { *f.From = Position{r.n, r.offset} }()
	}
	if f.From != nil && f.From.file > 0 {
		r.n, r.offset = f.From.file, f.From.offset
	} else if err := r.seek(); err != nil {
		return err
	}
	for stopping := false; ; {
		if err := r.readOn(ctx); err != nil {
			return err
		}
		change, closed := r.caughtUp()
		if change == nil && !closed {
			continue
		}
		if !f.Follow || closed || stopping {
			return r.rest()
		}
		select {
		case <-change:
		case <-f.Stop:
			stopping = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Last returns the last n entries.
func (j *Journal) Last(n int) []Entry {
	var entries []Entry
	j.Read(context.Background(), Filter{Tail: n}, func(e Entry) error {
		e.Text = slices.Clone(e.Text)
		entries = append(entries, e)
		return nil
	})
	return entries
}

// reader reads records one after the other and makes entries of them.
type reader struct {
	j      *Journal
	filter Filter
	fn     func(Entry) error

	file   *os.File // number n, nil before it is open
	n      int
	offset int64 // of the next record

	lines [2]line
}

// line is what has been read of a stream's present line.
type line struct {
	begun bool
	time  time.Time
	text  []byte
}

// caughtUp says whether everything was read: then it returns a channel that is
// closed at the next change, or that there will be none.
func (r *reader) caughtUp() (change <-chan struct{}, closed bool) {
	j := r.j
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.last > r.n || j.last == r.n && j.size > r.offset {
		return nil, false
	}
	if j.closed {
		return nil, true
	}
	if j.wake == nil {
		j.wake = make(chan struct{})
	}
	return j.wake, false
}

// readOn reads up to the end of the journal as it is now.
func (r *reader) readOn(ctx context.Context) error {
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.fill(b.in[:])
		if n == 0 || err != nil {
			return err
		}
		used, err := r.records(b.in[:n])
		if err != nil {
			return err
		}
		if used == 0 { // no record is that long: damaged, skip it
			used = n
		}
		r.offset += int64(used)
	}
}

// fill reads the next bytes; at the end of a file it goes on to the next one.
// It returns 0 at the end of the journal.
func (r *reader) fill(buf []byte) (int, error) {
	for {
		r.j.mu.Lock()
		first, last, size := r.j.first, r.j.last, r.j.size
		r.j.mu.Unlock()
		if r.n < first && r.file == nil { // it was removed before it was read
			r.n, r.offset = first, 0
		}
		if r.n == 0 || r.n > last {
			return 0, nil
		}
		if r.file == nil {
			f, err := os.Open(r.j.name(r.n))
			if errors.Is(err, os.ErrNotExist) && r.n < last {
				r.n, r.offset = r.n+1, 0
				continue
			}
			if err != nil {
				return 0, err
			}
			r.file = f
		}
		room := int64(len(buf))
		if r.n == last { // beyond size there may be half a write
			room = min(room, size-r.offset)
		}
		if room > 0 {
			n, err := r.file.ReadAt(buf[:room], r.offset)
			if n > 0 || err != nil && err != io.EOF {
				return n, ignoreEOF(n, err)
			}
		}
		if r.n == last {
			return 0, nil
		}
		r.closeFile()
		r.n, r.offset = r.n+1, 0
	}
}

func ignoreEOF(n int, err error) error {
	if n > 0 || err == io.EOF {
		return nil
	}
	return err
}

// records takes the complete records in buf and returns how many bytes they are.
func (r *reader) records(buf []byte) (used int, err error) {
	for {
		nl := bytes.IndexByte(buf[used:], '\n')
		if nl < 0 {
			return used, nil
		}
		rec, ok := parseRecord(buf[used : used+nl])
		used += nl + 1
		if ok {
			if err := r.take(rec); err != nil {
				return used, err
			}
		}
	}
}

func (r *reader) take(rec record) error {
	l := &r.lines[rec.stream]
	if !rec.continues {
		if err := r.emitRest(rec.stream); err != nil { // cannot happen in a sound journal
			return err
		}
		*l = line{begun: true, time: rec.time, text: l.text[:0]}
	} else if !l.begun {
		return nil // it began before what was asked for
	}
	if rec.ends {
		l.begun = false
		if len(l.text) == 0 {
			return r.emit(rec.stream, l.time, rec.text, false)
		}
		err := r.emit(rec.stream, l.time, append(l.text, rec.text...), false)
		l.text = nil
		return err
	}
	l.text = append(l.text, rec.text...)
	if len(l.text) < maxEntry {
		return nil
	}
	err := r.emit(rec.stream, l.time, l.text, true)
	l.text = l.text[:0]
	return err
}

// rest emits what the streams are in the middle of.
func (r *reader) rest() error {
	if err := r.emitRest(0); err != nil {
		return err
	}
	return r.emitRest(1)
}

func (r *reader) emitRest(stream int) error {
	l := &r.lines[stream]
	if !l.begun || len(l.text) == 0 {
		return nil
	}
	l.begun = false
	return r.emit(stream, l.time, l.text, true)
}

func (r *reader) emit(stream int, t time.Time, text []byte, partial bool) error {
	if t.Before(r.filter.Since) || !r.filter.Until.IsZero() && t.After(r.filter.Until) {
		return nil
	}
	return r.fn(Entry{Stream: streamName(stream), Time: t, Text: text, Partial: partial})
}

func (r *reader) closeFile() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// either is closed when a or b is; it needs ctx to end some day.
func either(ctx context.Context, a, b <-chan struct{}) <-chan struct{} {
	if a == nil {
		return b
	}
	c := make(chan struct{})
	go func() {
		select {
		case <-a:
			close(c)
		case <-b:
			close(c)
		case <-ctx.Done():
		}
	}()
	return c
}
