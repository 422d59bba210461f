package container

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"devstack/engine/container/child"
)

// Whoever gives up on a child in the middle of a message can still read it:
// it may be the pid of a process that has to be reaped.
func TestInterruptedMessage(t *testing.T) {
	w, theirs, err := newWire()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	message := append([]byte{child.MsgPID, 4, 0, 0, 0, 0, 0, 0, 0}, "\x01\x02\x03\x04"...)
	for i := range message {
		if _, err := theirs.Write(message[i : i+1]); err != nil {
			t.Fatal(err)
		}
		if i == len(message)-1 {
			break
		}
		w.f.SetDeadline(time.Now().Add(time.Millisecond))
		if _, _, _, err := w.next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("after %d bytes: %v", i+1, err)
		}
	}
	w.f.SetDeadline(time.Time{})
	kind, body, _, err := w.next()
	if err != nil || kind != child.MsgPID || string(body) != "\x01\x02\x03\x04" {
		t.Errorf("got %c %q, %v", kind, body, err)
	}
	theirs.Write(message[:2])
	theirs.Close()
	if _, _, _, err := w.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
}
