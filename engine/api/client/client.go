package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"devstack/engine/api"
	"devstack/engine/state"
)

// ErrNotRunning says that there is no engine; nothing runs, then.
var ErrNotRunning = errors.New("no engine is running")

// ErrEngineGone says that the engine ended in the middle of an operation. The
// guard starts another one.
var ErrEngineGone = errors.New("the engine went away")

// goneError is an ErrEngineGone as the user sees it.
type goneError struct{ error }

func (e goneError) Unwrap() error { return e.error }

func (e goneError) Is(target error) bool { return target == ErrEngineGone }

// Options of Dial.
type Options struct {
	Roots   state.Roots // required
	Version string      // of this program, for the handshake
	// Exe is the binary to start an engine from; empty: this program.
	Exe string
	// Start starts an engine when none runs. Without it Dial returns ErrNotRunning.
	Start bool
	// Environ is the environment for a started engine; nil: this process's own.
	Environ []string
}

// Client speaks to one engine. Its methods may be called at the same time.
type Client struct {
	options Options
	engine  api.VersionResult
	begin   int64 // where the engine's log ended when this client came

	mu   sync.Mutex
	idle *conn // of the handshake, for the first operation
}

// maxHandshakes bounds how often Dial tries: an engine may end or be replaced
// between a connection and its first answer.
const maxHandshakes = 6

// Dial connects to the engine and sees to it that the engine is not older than
// this program: an older one is restarted in place, which services do not
// notice.
func Dial(ctx context.Context, o Options) (*Client, error) {
	build, err := o.build()
	if err != nil {
		return nil, err
	}
	begin := sizeOf(o.Roots.Log())
	restarted := false
	for attempt := 1; ; attempt++ {
		cn, err := connect(ctx, o)
		if err != nil {
			return nil, err
		}
		res, err := handshake(ctx, cn, o.Version)
		switch {
		case ctx.Err() != nil:
			cn.Close()
			return nil, context.Cause(ctx)
		case err != nil:
			cn.Close()
			if !errors.Is(err, errGone) || attempt >= maxHandshakes || cn.started && attempt > 1 {
				return nil, engineFailed("the engine does not start", err, o.Roots, begin)
			}
		case res.Protocol > api.Protocol:
			cn.Close()
			return nil, &api.Error{
				Message: fmt.Sprintf("the running engine (%s) is newer than this devstack (%s)", res.Version, o.Version),
				Hint:    "use the newer devstack, or `devstack engine stop` with it first",
			}
		case !restarted && outdated(res, o.Version, build):
			restarted, o.Start = true, true // without a guard nobody else starts the next one
			err := restart(ctx, cn, o)
			cn.Close()
			if err != nil {
				return nil, fmt.Errorf("restart older engine: %w", err)
			}
		default:
			return &Client{options: o, engine: res, begin: begin, idle: cn}, nil
		}
	}
}

// Engine is what the engine said about itself.
func (c *Client) Engine() api.VersionResult { return c.engine }

// Close closes what no operation uses.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle == nil {
		return nil
	}
	err := c.idle.Close()
	c.idle = nil
	return err
}

func (c *Client) connection(ctx context.Context) (*conn, error) {
	c.mu.Lock()
	cn := c.idle
	c.idle = nil
	c.mu.Unlock()
	if cn != nil {
		return cn, nil
	}
	o := c.options
	o.Start = false // an engine that has ended since has nothing to continue
	return connect(ctx, o)
}

func (c *Client) release(cn *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle != nil {
		cn.Close()
		return
	}
	c.idle = cn
}

func handshake(ctx context.Context, cn *conn, version string) (res api.VersionResult, err error) {
	raw, err := cn.call(ctx, api.OpVersion, api.VersionRequest{Version: version, Protocol: api.Protocol}, nil)
	if err != nil {
		return res, err
	}
	return res, decode(raw, &res)
}

// outdated says whether an engine should give way to this program: it speaks
// an older protocol, has a lower version, or is an earlier build of the same.
func outdated(engine api.VersionResult, version, build string) bool {
	if engine.Protocol != api.Protocol {
		return engine.Protocol < api.Protocol
	}
	if c := compareVersions(version, engine.Version); c != 0 {
		return c > 0
	}
	return engine.Build != build && api.NewerBuild(build, engine.Build)
}

func restart(ctx context.Context, cn *conn, o Options) error {
	exe, err := o.exe()
	if err != nil {
		return err
	}
	err = cn.shutdown(ctx, api.ShutdownRequest{Restart: true, Exe: exe})
	if errors.Is(err, errGone) {
		return nil // it ended before its answer was out
	}
	return err
}

// exe is a path that still means this program in another process.
func (o Options) exe() (string, error) {
	if o.Exe != "" {
		return o.Exe, nil
	}
	return os.Executable()
}

func (o Options) build() (string, error) {
	exe, err := o.exe()
	if err != nil {
		return "", fmt.Errorf("find own binary: %w", err)
	}
	return api.BuildOf(exe)
}

func decode(raw json.RawMessage, v any) error {
	if len(raw) == 0 || v == nil {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("decode result: %w", err)
	}
	return nil
}

// call carries out one operation on a connection of its own.
func (c *Client) call(ctx context.Context, op string, req, res any, emit func(api.Message)) error {
	cn, err := c.connection(ctx)
	if err != nil {
		return err
	}
	raw, err := cn.call(ctx, op, req, emit)
	if err != nil {
		cn.Close()
		return c.explain(ctx, op, err)
	}
	if ctx.Err() != nil { // the end of ctx closes the connection, perhaps only now
		cn.Close()
	} else {
		c.release(cn)
	}
	return decode(raw, res)
}

// explain says why an operation came to no end.
func (c *Client) explain(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, errGone) {
		return goneError{engineFailed("the engine went away in the middle of "+op, err, c.options.Roots, c.begin)}
	}
	return err
}

// engineFailed quotes what engine and guard have written since begin: what is
// before it is of another trouble.
func engineFailed(what string, err error, roots state.Roots, begin int64) error {
	e := &api.Error{Message: what, Detail: lastLines(roots.Log(), begin, 10), Hint: "see " + roots.Log()}
	if !errors.Is(err, io.EOF) && !errors.Is(err, errGone) {
		e.Message += ": " + err.Error()
	}
	return e
}
