package layer

import (
	"io"
)

const (
	chunkSize  = 256 << 10
	chunkCount = 4 // in flight per stage: bounds memory to 1 MiB
)

// readAhead reads r in a goroutine of its own, a few chunks ahead of the
// consumer. Close stops it and waits for it; a Read of r that blocks must be
// ended by its owner first.
type readAhead struct {
	full chan chunk
	free chan []byte
	stop chan struct{}
	done chan struct{}
	cur  []byte // unread rest of buf
	buf  []byte
	err  error
}

type chunk struct {
	data []byte
	err  error
}

func newReadAhead(r io.Reader) *readAhead {
	a := &readAhead{
		full: make(chan chunk, chunkCount), free: make(chan []byte, chunkCount),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go a.run(r)
	return a
}

func (a *readAhead) run(r io.Reader) {
	defer close(a.done)
	for made := 0; ; {
		var buf []byte
		select {
		case <-a.stop:
			return
		case buf = <-a.free:
		default:
			if made < chunkCount {
				made++
				buf = make([]byte, chunkSize)
				break
			}
			select {
			case <-a.stop:
				return
			case buf = <-a.free:
			}
		}
		n, err := readFull(r, buf[:chunkSize])
		select {
		case <-a.stop:
			return
		case a.full <- chunk{buf[:n], err}:
		}
		if err != nil {
			return
		}
	}
}

// readFull fills buf as io.ReadFull does, but hands on r's own error.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.cur) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.buf != nil {
			a.free <- a.buf // never blocks: as many places as buffers
		}
		c := <-a.full
		a.cur, a.buf, a.err = c.data, c.data, c.err
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	return n, nil
}

func (a *readAhead) Close() error {
	close(a.stop)
	<-a.done
	return nil
}
