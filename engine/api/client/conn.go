package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"devstack/engine/api"
)

// errGone says that the engine closed the connection before it had answered.
var errGone = errors.New("connection closed by the engine")

type conn struct {
	net.Conn
	r       *bufio.Reader
	started bool // it is the first connection to a new guard
}

func newConn(c net.Conn) *conn { return &conn{Conn: c, r: bufio.NewReaderSize(c, 16<<10)} }

// call sends a request and hands out its messages until the result. When ctx
// ends, the connection is closed: that is how the engine learns of it.
func (cn *conn) call(ctx context.Context, op string, req any, emit func(api.Message)) (json.RawMessage, error) {
	stop := context.AfterFunc(ctx, func() { cn.Close() })
	defer stop()
	resp, err := cn.roundTrip(op, req, "")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return messages(resp, emit)
}

// shutdown ends the engine and waits until it has closed the connection: who
// connects after that reaches the next engine, or none.
func (cn *conn) shutdown(ctx context.Context, req api.ShutdownRequest) error {
	if _, err := cn.call(ctx, api.OpShutdown, req, nil); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { cn.Close() })
	defer stop()
	io.Copy(io.Discard, cn.r) // any error is its end, too
	return ctx.Err()
}

// roundTrip sends the request as one write and reads the answer's head.
func (cn *conn) roundTrip(op string, req any, upgrade string) (*http.Response, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "POST /v1/%s HTTP/1.1\r\nHost: devstack\r\nContent-Length: %d\r\n", op, len(body))
	if upgrade != "" {
		fmt.Fprintf(&b, "Connection: Upgrade\r\nUpgrade: %s\r\n", upgrade)
	}
	b.WriteString("\r\n")
	if _, err := (&net.Buffers{[]byte(b.String()), body}).WriteTo(cn.Conn); err != nil {
		return nil, gone(err)
	}
	resp, err := http.ReadResponse(cn.r, &http.Request{Method: http.MethodPost})
	if err != nil {
		return nil, gone(err)
	}
	if resp.StatusCode == http.StatusServiceUnavailable {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: it is being replaced", errGone)
	}
	return resp, nil
}

// messages reads an answer up to its Result or Error.
func messages(resp *http.Response, emit func(api.Message)) (json.RawMessage, error) {
	lines := json.NewDecoder(resp.Body)
	for {
		var m api.Message
		if err := lines.Decode(&m); err != nil {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				return nil, fmt.Errorf("read answer (%s): %w", resp.Status, err)
			}
			return nil, gone(err)
		}
		switch {
		case m.Error != nil:
			return nil, m.Error
		case m.Result != nil:
			_, err := io.Copy(io.Discard, resp.Body) // the connection serves again
			return m.Result, err
		case emit != nil:
			emit(m)
		}
	}
}

func gone(err error) error {
	return fmt.Errorf("%w: %w", errGone, err)
}

// lastLines returns up to n of the last lines that a file has behind begin,
// none if it cannot be read.
func lastLines(path string, begin int64, n int) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	if st.Size() < begin {
		begin = 0 // another file
	}
	if _, err := f.Seek(max(begin, st.Size()-16<<10), io.SeekStart); err != nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, 16<<10))
	if err != nil || len(data) == 0 {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return lines[max(0, len(lines)-n):]
}

// sizeOf is 0 for what is not there.
func sizeOf(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}
