package logs

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// seek goes to the first record that the filter selects.
func (r *reader) seek() error {
	r.j.mu.Lock()
	first, last, size := r.j.first, r.j.last, r.j.size
	r.j.mu.Unlock()
	r.n = first
	switch {
	case last == 0: // nothing was written yet; fill starts with the first file
		return nil
	case r.filter.Tail == 0:
		r.n, r.offset = last, size
		return nil
	case r.filter.Tail < 0:
		if !r.filter.Since.IsZero() {
			r.skipOlder(first, last)
		}
		return nil
	}
	missing := r.filter.Tail
	for n := last; n >= first; n-- {
		offset, found, err := seekLines(r.j.name(n), n == last, size, &missing)
		if errors.Is(err, os.ErrNotExist) {
			return nil // rotated away meanwhile: what is left is all there is
		}
		if err != nil {
			return err
		}
		r.n, r.offset = n, offset
		if found {
			return nil
		}
	}
	return nil
}

// skipOlder skips the files whose successor begins before Since.
func (r *reader) skipOlder(first, last int) {
	for n := last; n > first; n-- {
		f, err := os.Open(r.j.name(n))
		if err != nil {
			return
		}
		head := make([]byte, stampLen)
		_, err = io.ReadFull(f, head)
		f.Close()
		if t, ok := parseStamp(head); err == nil && ok && t.Before(r.filter.Since) {
			r.n = n
			return
		}
	}
}

// seekLines goes back from the end of a file until it has passed the beginning
// of the missing-th line and returns where that is. If the file has fewer, the
// rest stays in missing.
func seekLines(name string, growing bool, size int64, missing *int) (offset int64, found bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	if !growing {
		st, err := f.Stat()
		if err != nil {
			return 0, false, err
		}
		size = st.Size()
	}
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	const overlap = tagAt + 8 // enough of a record's beginning to know it
	for end := size; end > 0; {
		begin := max(0, end-int64(len(b.in)-overlap))
		n, err := f.ReadAt(b.in[:min(int64(len(b.in)), size-begin)], begin)
		if err != nil && err != io.EOF {
			return 0, false, err
		}
		buf := b.in[:n]
		// A record begins after each newline in [begin, end), and with the file.
		for at := int(end - begin); ; {
			at = bytes.LastIndexByte(buf[:at], '\n')
			if at < 0 && begin > 0 {
				break
			}
			if beginsLine(buf[at+1:]) {
				if *missing--; *missing == 0 {
					return begin + int64(at) + 1, true, nil
				}
			}
			if at < 0 {
				break
			}
		}
		end = begin
	}
	return 0, false, nil
}

func beginsLine(rec []byte) bool {
	if len(rec) > tagAt+8 {
		rec = rec[:tagAt+8]
	}
	r, _, ok := parseHead(rec)
	return ok && !r.continues
}
