package engine

import (
	"runtime/debug"
	"sync"
	"time"
)

// How far the collector lets this process grow before it spends processor
// time on staying small: memoryTarget is for an engine that looks after
// containers, workTarget for one through which the content of images flows.
// Buffers of layers are most of that, so with memoryTarget the collector would
// take half of the machine.
const (
	memoryTarget = 24 << 20
	workTarget   = 80 << 20
)

// restAfter keeps one piece of work after another from changing the limit each
// time.
const restAfter = time.Second

// effort is how much goes on that needs memory. A nil one sets no limits: they
// are for an engine that has a process to itself.
type effort struct {
	limit func(bytes int64)

	mu   sync.Mutex
	n    int
	rest *time.Timer
}

func newEffort() *effort {
	f := &effort{limit: func(bytes int64) { debug.SetMemoryLimit(bytes) }}
	f.limit(memoryTarget)
	return f
}

// begin announces work, which lasts until end is called.
func (f *effort) begin() (end func()) {
	if f == nil {
		return func() {}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.n == 1 {
		if f.rest != nil {
			f.rest.Stop()
		}
		f.limit(workTarget)
	}
	return sync.OnceFunc(f.end)
}

func (f *effort) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 {
		f.rest = time.AfterFunc(restAfter, f.settle)
	}
}

// settle takes the limit back unless more has begun.
func (f *effort) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		f.limit(memoryTarget)
	}
}
