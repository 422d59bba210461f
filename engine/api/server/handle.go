package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"

	"devstack/engine/api"
)

// maxRequest bounds a request's body, in bytes. A project of a thousand
// services takes about two million.
const maxRequest = 64 << 20

// Handle registers fn for op. emit sends a message at once and may be called by
// several goroutines until fn returns; when the client is slow it blocks, when
// the client has gone ctx ends.
func Handle[Req, Res any](s *Server, op string, fn func(ctx context.Context, req Req, emit func(api.Message)) (Res, error)) {
	s.handlers[op] = func(w http.ResponseWriter, r *http.Request) {
		out := newStream(r.Context(), w)
		var req Req
		if err := readRequest(w, r, &req); err != nil {
			out.finish(nil, &api.Error{Message: err.Error()})
			return
		}
		var res Res
		err := s.protect(op, func() (err error) {
			res, err = fn(r.Context(), req, out.emit)
			return err
		})
		if err != nil {
			out.finish(nil, wireError(r.Context(), err))
			return
		}
		data, err := json.Marshal(res)
		if err != nil {
			out.finish(nil, wireError(r.Context(), fmt.Errorf("encode result: %w", err)))
			return
		}
		out.finish(data, nil)
	}
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	op, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	handler := s.handlers[op]
	switch {
	case s.isRefusing() || op == api.OpVersion && s.options.Outdated != nil && s.options.Outdated():
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusServiceUnavailable)
		newStream(r.Context(), w).finish(nil, &api.Error{Message: ErrShutdown.Error()})
	case !ok || handler == nil:
		w.WriteHeader(http.StatusNotFound)
		newStream(r.Context(), w).finish(nil, &api.Error{Message: fmt.Sprintf("the engine knows no operation %q", op)})
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
		newStream(r.Context(), w).finish(nil, &api.Error{Message: fmt.Sprintf("%s takes POST, not %s", r.URL.Path, r.Method)})
	default:
		handler(w, r)
	}
}

// readRequest reads the body to its end: only then does net/http watch for the
// client's going away.
func readRequest(w http.ResponseWriter, r *http.Request, req any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, req); err != nil {
		return fmt.Errorf("decode request: %w", err)
	}
	return nil
}

// protect turns a panic of fn into an error and logs it.
func (s *Server) protect(op string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.options.Log.Error("panic in operation", "op", op, "panic", p, "stack", string(debug.Stack()))
			err = &api.Error{Message: fmt.Sprintf("internal error in %s: %v", op, p), Hint: "engine.log in the run root has the details"}
		}
	}()
	return fn()
}

func wireError(ctx context.Context, err error) *api.Error {
	if errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), ErrShutdown) {
		return &api.Error{Message: ErrShutdown.Error()}
	}
	if e := (*api.Error)(nil); errors.As(err, &e) {
		return e
	}
	return &api.Error{Message: err.Error()}
}
