package child

import "syscall"

// ExitUntold is the exit code of a child whose engine has gone before it was
// told to execute its program.
const ExitUntold = 125

// Messages from the child: one kind byte, then a length and that many bytes.
const (
	MsgPID     = 'p' // the forked child's pid in the parent's namespace
	MsgConsole = 'c' // the terminal's master comes as SCM_RIGHTS
	MsgReady   = 'r'
	MsgFault   = 'e'
)

// MsgStart is the only message to the child after the Program: a single byte.
const MsgStart = 's'

// MessageHead is the size of a message's kind and length.
const MessageHead = 9

// Fault is an error that crosses the socket.
type Fault struct {
	Op    string // what was attempted: "mount", "exec", ...
	Path  string // on what; may be empty
	Errno syscall.Errno
	Text  string // explanation where errno does not say enough; may be empty
}

func (f *Fault) fields(c *codec) {
	n := uint64(f.Errno)
	c.str(&f.Op)
	c.str(&f.Path)
	c.num(&n)
	c.str(&f.Text)
	f.Errno = syscall.Errno(n)
}

// DecodeFault reads the body of a MsgFault.
func DecodeFault(b []byte) (f Fault, ok bool) {
	c := codec{buf: b, reading: true}
	f.fields(&c)
	return f, !c.bad
}

// DecodeHead reads a message's kind and the length of its body.
func DecodeHead(b []byte) (kind byte, length int) {
	c := codec{buf: b[1:], reading: true}
	c.int(&length)
	return b[0], length
}

// DecodeNumber reads the body of a MsgPID.
func DecodeNumber(b []byte) (n int, ok bool) {
	c := codec{buf: b, reading: true}
	c.int(&n)
	return n, !c.bad
}

func encodeMessage(kind byte, body func(*codec)) []byte {
	inner := codec{}
	if body != nil {
		body(&inner)
	}
	head := codec{buf: []byte{kind}}
	n := len(inner.buf)
	head.int(&n)
	return append(head.buf, inner.buf...)
}
