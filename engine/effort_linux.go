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

// How much garbage there may be for what lives, in percent: while projects
// change a heap of few megabytes would be collected every few containers.
const (
	restPercent  = 100
	hastePercent = 400
)

// restAfter keeps one piece of work after another from changing the setting each
// time.
const restAfter = time.Second

// effort is how much goes on that the collector is told of. A nil one tells it
// nothing: that is for an engine that has a process to itself.
type effort struct {
	tell func(working bool)

	mu   sync.Mutex
	n    int
	rest *time.Timer
}

// newEffort is for work on content.
func newEffort() *effort {
	return restingEffort(func(working bool) {
		target := int64(memoryTarget)
		if working {
			target = workTarget
		}
		debug.SetMemoryLimit(target)
	})
}

// newHaste is for changes of projects.
func newHaste() *effort {
	return restingEffort(func(working bool) {
		percent := restPercent
		if working {
			percent = hastePercent
		}
		debug.SetGCPercent(percent)
	})
}

func restingEffort(tell func(working bool)) *effort {
	tell(false)
	return &effort{tell: tell}
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
		f.tell(true)
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

// settle takes it back unless more has begun.
func (f *effort) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		f.tell(false)
	}
}
