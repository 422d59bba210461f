package server

import (
	"fmt"
	"sync"

	"devstack/engine/api"
)

// creditStep is how many read bytes are answered by one credit.
const creditStep = api.StdinWindow / 4

// input is a session's standard input: what the client has sent and the process
// has not read, at most api.StdinWindow bytes.
type input struct {
	credit func(n int) // tells the client that n bytes were read

	mu   sync.Mutex
	some *sync.Cond
	buf  []byte
	read int   // bytes read and not credited yet
	err  error // after buf
}

func newInput(credit func(int)) *input {
	in := &input{credit: credit}
	in.some = sync.NewCond(&in.mu)
	return in
}

func (in *input) put(p []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil {
		return nil // input after its end
	}
	if len(in.buf)+len(p) > api.StdinWindow {
		return fmt.Errorf("client sent more than %d bytes of input without credit", api.StdinWindow)
	}
	in.buf = append(in.buf, p...)
	in.some.Signal()
	return nil
}

// end makes readers see err once they have read everything. The first end
// counts.
func (in *input) end(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil {
		in.err = err
	}
	in.some.Broadcast()
}

func (in *input) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	in.mu.Lock()
	for len(in.buf) == 0 && in.err == nil {
		in.some.Wait()
	}
	if len(in.buf) == 0 {
		defer in.mu.Unlock()
		return 0, in.err
	}
	n := copy(p, in.buf)
	in.buf = in.buf[n:]
	if len(in.buf) == 0 {
		in.buf = nil
	}
	in.read += n
	grant := 0
	if in.read >= creditStep {
		grant, in.read = in.read, 0
	}
	in.mu.Unlock()
	if grant > 0 {
		in.credit(grant)
	}
	return n, nil
}
