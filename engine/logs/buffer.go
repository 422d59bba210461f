package logs

import "sync"

// buffer is what a copy or a reader needs while it is busy, and gives back
// before it waits.
type buffer struct {
	in  [64 << 10]byte // as much as a pipe holds
	out []byte         // records; always given back empty
}

// buffers is shared by all journals: there are as many as are busy at once.
var buffers = sync.Pool{New: func() any { return &buffer{out: make([]byte, 0, 64<<10)} }}
