package server

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"devstack/engine/api"
)

// Upgrade is the protocol that a duplex operation's connection goes on with.
const Upgrade = "devstack-frames"

// ErrClientGone is the cause of the cancellation of a session whose client has
// closed the connection.
var ErrClientGone = errors.New("the client has gone")

// farewell is how long the last frames may take once a session is cancelled.
const farewell = 2 * time.Second

// Session is the engine's end of a duplex operation. Writers block while the
// client is slow and fail when it has gone.
type Session struct {
	Stdin   io.Reader // io.EOF when the client has closed its end
	Stdout  io.Writer
	Stderr  io.Writer
	Resize  <-chan api.TTYSize    // the latest size; never closed
	Signals <-chan syscall.Signal // never closed

	conn  net.Conn
	write sync.Mutex
}

// Emit sends a message, such as progress before the process starts.
func (se *Session) Emit(m api.Message) {
	if data, err := json.Marshal(m); err == nil {
		se.send(api.FrameMessage, data)
	}
}

// HandleDuplex registers fn for op, which upgrades the connection. ctx ends
// when the client goes. The exit code goes to the client, or the error.
func HandleDuplex[Req any](s *Server, op string, fn func(ctx context.Context, req Req, se *Session) (exit int, err error)) {
	s.handlers[op] = func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if err := readRequest(w, r, &req); err != nil {
			newStream(r.Context(), w).finish(nil, &api.Error{Message: err.Error()})
			return
		}
		if r.Header.Get("Upgrade") != Upgrade {
			w.WriteHeader(http.StatusUpgradeRequired)
			newStream(r.Context(), w).finish(nil, &api.Error{Message: fmt.Sprintf("%s needs an upgrade to %s", op, Upgrade)})
			return
		}
		s.sessions.Add(1)
		defer s.sessions.Done()
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			newStream(r.Context(), w).finish(nil, &api.Error{Message: err.Error()})
			return
		}
		defer conn.Close()
		// Not the request's context: net/http ends that one without a cause.
		s.converse(s.base, op, conn, rw.Reader, func(ctx context.Context, se *Session) (int, error) {
			return fn(ctx, req, se)
		})
	}
}

func (s *Server) converse(ctx context.Context, op string, conn net.Conn, r *bufio.Reader, fn func(context.Context, *Session) (int, error)) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Now().Add(farewell)) })
	defer stop()
	resize, signals := make(chan api.TTYSize, 1), make(chan syscall.Signal, 16)
	se := &Session{Resize: resize, Signals: signals, conn: conn}
	in := newInput(se.credit)
	se.Stdin, se.Stdout, se.Stderr = in, frameWriter{se, api.FrameStdout}, frameWriter{se, api.FrameStderr}
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+Upgrade+"\r\n\r\n"); err != nil {
		return
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		err := hear(r, in, resize, signals)
		in.end(io.ErrUnexpectedEOF)
		cancel(fmt.Errorf("%w: %w", ErrClientGone, err))
	}()
	var exit int
	err := s.protect(op, func() (err error) {
		exit, err = fn(ctx, se)
		return err
	})
	if err != nil {
		data, _ := json.Marshal(wireError(ctx, err))
		se.send(api.FrameFailure, data)
	} else {
		se.send(api.FrameExit, binary.BigEndian.AppendUint32(nil, uint32(int32(exit))))
	}
	conn.Close()
	<-heard
}

// hear takes the client's frames until it goes. It never waits for the process.
func hear(r io.Reader, in *input, resize chan api.TTYSize, signals chan syscall.Signal) error {
	frames := api.FrameReader{R: r}
	for {
		kind, payload, err := frames.Next()
		if err != nil {
			return err
		}
		switch {
		case kind == api.FrameStdin && len(payload) == 0:
			in.end(io.EOF)
		case kind == api.FrameStdin:
			if err := in.put(payload); err != nil {
				return err
			}
		case kind == api.FrameResize && len(payload) == 4:
			select { // only the latest size matters
			case <-resize:
			default:
			}
			resize <- api.TTYSize{Rows: binary.BigEndian.Uint16(payload), Cols: binary.BigEndian.Uint16(payload[2:])}
		case kind == api.FrameSignal && len(payload) == 1:
			select {
			case signals <- syscall.Signal(payload[0]):
			default: // sixteen are waiting: the process has had its hints
			}
		}
	}
}

func (se *Session) credit(n int) {
	se.send(api.FrameCredit, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

func (se *Session) send(kind byte, payload []byte) error {
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload)))
	se.write.Lock()
	defer se.write.Unlock()
	conn := se.conn
	if c, ok := conn.(*countedConn); ok {
		conn = c.Conn // for writev
	}
	_, err := (&net.Buffers{head[:], payload}).WriteTo(conn)
	return err
}

// frameWriter sends what is written to it as frames of one kind.
type frameWriter struct {
	session *Session
	kind    byte
}

func (w frameWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(len(p), n+api.MaxFrame)]
		if err := w.session.send(w.kind, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}
