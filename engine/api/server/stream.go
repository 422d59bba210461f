package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"

	"devstack/engine/api"
)

// streamBuffer is how many bytes of messages may wait for a slow client before
// emit blocks.
const streamBuffer = 256 << 10

// stream writes messages, each as soon as the ones before it are out. While a
// write is under way further messages gather and go with the next, so a flood
// of log lines costs one system call for many of them.
type stream struct {
	ctx  context.Context
	w    http.ResponseWriter
	wake chan struct{} // capacity 1: buf has something
	stop chan struct{}
	done chan struct{} // nil until the first emit

	mu      sync.Mutex
	room    *sync.Cond
	buf     []byte
	over    bool // nobody listens, or the end was sent
	unwatch func() bool
}

func newStream(ctx context.Context, w http.ResponseWriter) *stream {
	st := &stream{ctx: ctx, w: w}
	st.room = sync.NewCond(&st.mu)
	return st
}

func (st *stream) emit(m api.Message) {
	line, err := json.Marshal(m)
	if err != nil {
		return // plain values: cannot happen
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.done == nil && !st.over {
		st.begin()
	}
	for len(st.buf) > streamBuffer && !st.over {
		st.room.Wait()
	}
	if st.over {
		return
	}
	st.buf = append(append(st.buf, line...), '\n')
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// begin needs st.mu.
func (st *stream) begin() {
	st.wake, st.stop, st.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	st.unwatch = context.AfterFunc(st.ctx, st.abandon)
	go st.run()
}

func (st *stream) run() {
	defer close(st.done)
	for {
		select {
		case <-st.wake:
			if st.flush(st.take()) != nil {
				st.abandon()
				return
			}
		case <-st.stop:
			return
		}
	}
}

func (st *stream) take() []byte {
	st.mu.Lock()
	defer st.mu.Unlock()
	b := st.buf
	st.buf = nil
	st.room.Broadcast()
	return b
}

func (st *stream) flush(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := st.w.Write(b); err != nil {
		return err
	}
	return http.NewResponseController(st.w).Flush()
}

func (st *stream) abandon() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.over = true
	st.room.Broadcast()
}

// finish sends the last message after all others.
func (st *stream) finish(result json.RawMessage, failure *api.Error) {
	st.mu.Lock()
	began := st.done != nil
	st.over = true
	st.room.Broadcast()
	st.mu.Unlock()
	if began {
		st.unwatch()
		close(st.stop)
		<-st.done
	}
	last, err := json.Marshal(api.Message{Result: result, Error: failure})
	if err != nil {
		last = []byte(`{"error":{"message":"encode result"}}`)
	}
	st.flush(append(append(st.take(), last...), '\n'))
}
