package api

import (
	"encoding/binary"
	"fmt"
	"io"
)

// After the upgrade of an Exec, Run or Attach both sides speak in frames:
//
//	+------+-------------+-----------+
//	| kind | length (BE) | payload   |
//	| 1 B  | 4 B         | length B  |
//	+------+-------------+-----------+
//
// client -> engine: Stdin (empty payload: end of input), Resize (rows, cols as
// two big-endian uint16), Signal (the signal's number, one byte).
// engine -> client: Stdout, Stderr, Msg (a Message as JSON, for progress
// before the process starts), Credit, then one Exit (code as big-endian int32)
// or one Failure (an Error as JSON), which ends the conversation.
//
// A process that does not read its input must not hold up signals and resizes
// behind it: the client sends at most StdinWindow bytes of Stdin that no Credit
// (bytes as big-endian uint32) has answered, so the engine can always take them.
const (
	FrameStdin   = 0
	FrameStdout  = 1
	FrameStderr  = 2
	FrameResize  = 3
	FrameSignal  = 4
	FrameMessage = 5
	FrameExit    = 6
	FrameFailure = 7
	FrameCredit  = 8
)

// StdinWindow is how many bytes of Stdin may be on their way, unread by the
// process.
const StdinWindow = 256 << 10

// MaxFrame is the largest payload a reader accepts, in bytes.
const MaxFrame = 1 << 20

// WriteFrame writes one frame with a single Write.
func WriteFrame(w io.Writer, kind byte, payload []byte) error {
	buf := make([]byte, 5+len(payload))
	buf[0] = kind
	binary.BigEndian.PutUint32(buf[1:], uint32(len(payload)))
	copy(buf[5:], payload)
	_, err := w.Write(buf)
	return err
}

// ReadFrame reads one frame; it returns io.EOF only between frames.
func ReadFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes exceeds %d", n, MaxFrame)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return head[0], payload, nil
}

// FrameReader reads frames one after the other into one buffer.
type FrameReader struct {
	R   io.Reader
	buf []byte
}

// Next returns the next frame; the payload is valid until the next call. It
// returns io.EOF only between frames.
func (f *FrameReader) Next() (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(f.R, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[1:]))
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes exceeds %d", n, MaxFrame)
	}
	if cap(f.buf) < n {
		f.buf = make([]byte, max(n, 4<<10))
	}
	if _, err := io.ReadFull(f.R, f.buf[:n]); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return head[0], f.buf[:n], nil
}
