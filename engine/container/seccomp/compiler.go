package seccomp

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Compiler remembers what it has compiled: the containers of a project share a
// handful of profiles, and compiling one takes longer than a fork. The zero
// value is ready; it is safe for concurrent use.
type Compiler struct {
	mu   sync.Mutex
	done map[[sha256.Size]byte]compiled
}

type compiled struct {
	filter []byte
	flags  int
}

// remembered bounds the memory; more profiles than that are recompiled.
const remembered = 64

// Compile is the function Compile. The filter must not be changed.
func (c *Compiler) Compile(s *specs.LinuxSeccomp) (filter []byte, flags int, err error) {
	if s == nil {
		return nil, 0, nil
	}
	key := digest(s)
	c.mu.Lock()
	have, ok := c.done[key]
	c.mu.Unlock()
	if ok {
		return have.filter, have.flags, nil
	}
	if filter, flags, err = Compile(s); err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil || len(c.done) >= remembered {
		c.done = map[[sha256.Size]byte]compiled{}
	}
	c.done[key] = compiled{filter, flags}
	return filter, flags, nil
}

// digest covers every field that Compile looks at, each with its length.
func digest(s *specs.LinuxSeccomp) [sha256.Size]byte {
	b := make([]byte, 0, 16<<10)
	num := func(n uint64) { b = binary.LittleEndian.AppendUint64(b, n) }
	str := func(v string) { num(uint64(len(v))); b = append(b, v...) }
	errno := func(e *uint) {
		if e == nil {
			num(^uint64(0))
			return
		}
		num(uint64(*e))
	}
	str(string(s.DefaultAction))
	errno(s.DefaultErrnoRet)
	str(s.ListenerPath)
	str(s.ListenerMetadata)
	num(uint64(len(s.Architectures)))
	for _, a := range s.Architectures {
		str(string(a))
	}
	num(uint64(len(s.Flags)))
	for _, f := range s.Flags {
		str(string(f))
	}
	num(uint64(len(s.Syscalls)))
	for _, e := range s.Syscalls {
		str(string(e.Action))
		errno(e.ErrnoRet)
		num(uint64(len(e.Names)))
		for _, n := range e.Names {
			str(n)
		}
		num(uint64(len(e.Args)))
		for _, a := range e.Args {
			num(uint64(a.Index))
			num(a.Value)
			num(a.ValueTwo)
			str(string(a.Op))
		}
	}
	return sha256.Sum256(b)
}
