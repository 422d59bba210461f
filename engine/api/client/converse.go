package client

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"

	"devstack/engine/api"
)

// upgrade is server.Upgrade, which a client has no reason to import.
const upgrade = "devstack-frames"

// Streams is the client's end of a duplex operation. All fields are optional.
type Streams struct {
	In       io.Reader // its end closes the process's input
	Out, Err io.Writer
	Resize   <-chan api.TTYSize
	Signals  <-chan os.Signal
	Message  func(api.Message) // progress before the process starts
}

// converse carries out a duplex operation and returns the process's exit code.
// It does not wait for a Read of s.In that is under way: a terminal's cannot be
// interrupted.
func (c *Client) converse(ctx context.Context, op string, req any, s Streams) (exit int, err error) {
	cn, err := c.connection(ctx)
	if err != nil {
		return 0, err
	}
	defer cn.Close()
	stop := context.AfterFunc(ctx, func() { cn.Close() })
	defer stop()
	resp, err := cn.roundTrip(op, req, upgrade)
	if err != nil {
		return 0, c.explain(ctx, op, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		if _, err := messages(resp, s.Message); err != nil {
			return 0, c.explain(ctx, op, err)
		}
		return 0, fmt.Errorf("%s: the engine did not upgrade the connection (%s)", op, resp.Status)
	}
	d := &duplex{conn: cn.Conn, credit: api.StdinWindow}
	d.more = sync.NewCond(&d.mu)
	over := make(chan struct{})
	var hints sync.WaitGroup
	hints.Go(func() { d.sendHints(s, over) })
	go d.sendInput(s.In)
	exit, err = d.receive(cn.r, s)
	close(over)
	d.end()
	cn.Close()
	hints.Wait()
	if err != nil {
		return 0, c.explain(ctx, op, err)
	}
	return exit, nil
}

// duplex is an upgraded connection.
type duplex struct {
	conn  net.Conn
	write sync.Mutex

	mu     sync.Mutex
	more   *sync.Cond
	credit int // bytes of input that the engine can take
	over   bool
}

func (d *duplex) receive(r io.Reader, s Streams) (int, error) {
	out, errOut := orDiscard(s.Out), orDiscard(s.Err)
	frames := api.FrameReader{R: r}
	for {
		kind, payload, err := frames.Next()
		if err != nil {
			return 0, gone(err)
		}
		switch kind {
		case api.FrameStdout:
			_, err = out.Write(payload)
		case api.FrameStderr:
			_, err = errOut.Write(payload)
		case api.FrameMessage:
			var m api.Message
			if json.Unmarshal(payload, &m) == nil && s.Message != nil {
				s.Message(m)
			}
		case api.FrameCredit:
			if len(payload) == 4 {
				d.grant(int(binary.BigEndian.Uint32(payload)))
			}
		case api.FrameExit:
			if len(payload) == 4 {
				return int(int32(binary.BigEndian.Uint32(payload))), nil
			}
			return 0, fmt.Errorf("exit frame of %d bytes", len(payload))
		case api.FrameFailure:
			e := &api.Error{}
			if err := json.Unmarshal(payload, e); err != nil {
				return 0, fmt.Errorf("decode failure: %w", err)
			}
			return 0, e
		}
		if err != nil {
			return 0, fmt.Errorf("write output: %w", err)
		}
	}
}

// sendInput copies the input as far as the engine has room for it.
func (d *duplex) sendInput(in io.Reader) {
	if in == nil {
		d.send(api.FrameStdin, nil)
		return
	}
	buf := make([]byte, 32<<10)
	for {
		room := d.wait(len(buf))
		if room == 0 {
			return
		}
		n, err := in.Read(buf[:room])
		if n > 0 {
			d.spend(n)
			if d.send(api.FrameStdin, buf[:n]) != nil {
				return
			}
		}
		if err != nil {
			d.send(api.FrameStdin, nil)
			return
		}
	}
}

func (d *duplex) sendHints(s Streams, over <-chan struct{}) {
	for {
		select {
		case size := <-s.Resize:
			d.send(api.FrameResize, []byte{byte(size.Rows >> 8), byte(size.Rows), byte(size.Cols >> 8), byte(size.Cols)})
		case sig := <-s.Signals:
			if n, ok := sig.(syscall.Signal); ok {
				d.send(api.FrameSignal, []byte{byte(n)})
			}
		case <-over:
			return
		}
	}
}

func (d *duplex) send(kind byte, payload []byte) error {
	d.write.Lock()
	defer d.write.Unlock()
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload)))
	_, err := (&net.Buffers{head[:], payload}).WriteTo(d.conn)
	return err
}

// wait returns how many bytes may be sent, at most limit; 0 at the end.
func (d *duplex) wait(limit int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.credit == 0 && !d.over {
		d.more.Wait()
	}
	if d.over {
		return 0
	}
	return min(d.credit, limit)
}

func (d *duplex) spend(n int) { d.grant(-n) }

func (d *duplex) grant(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.credit += n
	d.more.Signal()
}

func (d *duplex) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	d.more.Broadcast()
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
