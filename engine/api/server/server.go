package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"

	"devstack/engine/api"
)

// ErrShutdown is the cause of the cancellation of requests that were under way
// when the server was shut down.
var ErrShutdown = errors.New("the engine is stopping")

// Options of a Server; all are optional.
type Options struct {
	Version string // of the engine, for the handshake
	Build   string // api.BuildOf the engine's binary, for the handshake
	Log     *slog.Logger
	// Idle is called each time the last connection has gone. It must not block.
	Idle func()
	// Outdated, if set, is asked at each handshake; it says that this engine
	// ends and the client is to come again, to the next.
	Outdated func() bool
}

// Server answers the API. Register all operations before Serve.
type Server struct {
	options  Options
	handlers map[string]http.HandlerFunc
	http     *http.Server
	base     context.Context
	cancel   context.CancelCauseFunc
	sessions sync.WaitGroup // hijacked connections

	mu        sync.Mutex
	refusing  bool
	conns     int
	listeners map[*listener]struct{}
	silent    map[net.Conn]struct{} // have not sent a request yet
}

// New returns a server that answers the version operation.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		options:   o,
		handlers:  map[string]http.HandlerFunc{},
		listeners: map[*listener]struct{}{},
		silent:    map[net.Conn]struct{}{},
	}
	s.base, s.cancel = context.WithCancelCause(context.Background())
	s.http = &http.Server{
		Handler:     http.HandlerFunc(s.route),
		BaseContext: func(net.Listener) context.Context { return s.base },
		ConnState:   s.connState,
		ErrorLog:    slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	Handle(s, api.OpVersion, s.version)
	return s
}

func (s *Server) version(context.Context, api.VersionRequest, func(api.Message)) (api.VersionResult, error) {
	return api.VersionResult{
		Version:  s.options.Version,
		Protocol: api.Protocol,
		PID:      os.Getpid(),
		Build:    s.options.Build,
	}, nil
}

// Serve answers connections of l until ctx ends or Refuse, CloseIfIdle or
// Shutdown is called; then it returns nil. l is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.mu.Lock()
	if s.refusing {
		s.mu.Unlock()
		return l.Close()
	}
	door := &listener{Listener: l, server: s}
	s.listeners[door] = struct{}{}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, s.Refuse)
	defer stop()
	err := s.http.Serve(door)
	if s.isRefusing() || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Active is the number of open connections: every client, whatever it does.
func (s *Server) Active() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// Refuse makes the server accept no more connections and no more requests on
// those it has (they are told to come again); requests under way go on. Clients
// that connect from now on wait in the backlog for the next engine.
func (s *Server) Refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse()
}

// CloseIfIdle is Refuse if no client is connected, and says whether it was so.
func (s *Server) CloseIfIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == 0 {
		s.refuse()
	}
	return s.conns == 0
}

// refuse needs s.mu.
func (s *Server) refuse() {
	s.refusing = true
	for l := range s.listeners {
		l.Close()
		delete(s.listeners, l)
	}
}

// Shutdown refuses, cancels what is under way (with ErrShutdown as its cause)
// and waits until all answers are out, at most until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Refuse()
	s.cancel(ErrShutdown)
	s.closeSilent()
	err := s.http.Shutdown(ctx)
	ended := make(chan struct{})
	go func() {
		s.sessions.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	return errors.Join(err, s.http.Close())
}

func (s *Server) connState(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateNew {
		s.silent[c] = struct{}{}
	} else {
		delete(s.silent, c)
	}
}

// closeSilent closes connections on which nothing has been asked: their clients
// come again. net/http would wait five seconds for them.
func (s *Server) closeSilent() {
	s.mu.Lock()
	silent := slices.Collect(maps.Keys(s.silent))
	s.mu.Unlock()
	for _, c := range silent {
		c.Close()
	}
}

func (s *Server) isRefusing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusing
}

// opened counts a connection in; it says no when none is wanted any more.
func (s *Server) opened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusing {
		return false
	}
	s.conns++
	return true
}

func (s *Server) closed() {
	s.mu.Lock()
	s.conns--
	idle := s.conns == 0
	s.mu.Unlock()
	if idle && s.options.Idle != nil {
		s.options.Idle()
	}
}

// listener admits the peers that may talk to the engine and counts them.
type listener struct {
	net.Listener
	server *Server
	once   sync.Once
}

// Close may be called again: refuse closes the listener, and so does net/http.
func (l *listener) Close() (err error) {
	l.once.Do(func() { err = l.Listener.Close() })
	return err
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := checkPeer(c); err != nil {
			l.server.options.Log.Warn("refuse connection", "error", err)
			c.Close()
			continue
		}
		if !l.server.opened() {
			c.Close() // the client tries again and reaches the next engine
			continue
		}
		return &countedConn{Conn: c, closed: sync.OnceFunc(l.server.closed)}, nil
	}
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.closed()
	return err
}
