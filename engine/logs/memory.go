package logs

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
)

// Memory holds what was read from containers and is not in a journal yet. It is
// a file, mapped: what is in it outlives an engine that is killed between the
// one and the other, and the next engine's Open takes it from there.
//
//	place:  free -> reading -> held (n bytes, of which done are in the journal) -> free
//
// A place's data are zero but for what it holds, so that a read whose length
// nobody lived to note can be told from them; a stream's own zero bytes at the
// end of it are lost then.
//
// A nil *Memory is none: plain memory is used. So it is when all places are in
// use.
type Memory struct {
	mu   sync.Mutex
	free []*place
	left map[owner][]*place // by an earlier engine
}

// owner tells journals apart: a hash of the folder's path.
type owner [sha256.Size]byte

// Phases of a place.
const (
	placeFree = iota
	placeReading
	placeHeld
)

// place is one read's worth, as it lies in the file. The order in which its
// fields are set is what a reader of it after a crash relies on.
type place struct {
	phase  atomic.Uint64
	n      atomic.Uint64 // bytes of data that were read
	done   atomic.Uint64 // twice the bytes of them that are in the journal, plus 1 while more are written
	file   atomic.Int64  // number of the journal's file that is written to
	size   atomic.Int64  // of that file before
	stream uint64
	owner  owner
	_      [placeHead - 6*8 - sha256.Size]byte
	data   [64 << 10]byte // as much as a pipe holds
}

const (
	placeHead  = 4096
	placeSize  = placeHead + 64<<10
	mostPlaces = 8
)

// take gives a free place for a read, or nil.
func (m *Memory) take(who owner, stream int) *place {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.free) == 0 {
		return nil
	}
	p := m.free[len(m.free)-1]
	m.free = m.free[:len(m.free)-1]
	p.owner, p.stream = who, uint64(stream)
	p.done.Store(0)
	p.phase.Store(placeReading)
	return p
}

// hold notes that n bytes were read.
func (p *place) hold(n int) {
	p.n.Store(uint64(n))
	p.phase.Store(placeHeld)
}

// give takes a place back.
func (m *Memory) give(p *place) {
	n := p.n.Load()
	p.phase.Store(placeFree)
	clear(p.data[:n])
	p.n.Store(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, p)
}

// writing notes that a write of records to a file begins, which is size bytes
// long. Like written it does nothing for nil, plain memory.
func (p *place) writing(file int, size int64) {
	if p != nil {
		p.file.Store(int64(file))
		p.size.Store(size)
		p.done.Store(p.done.Load() | 1)
	}
}

// failed notes that nothing of such a write is in the file.
func (p *place) failed() {
	if p != nil {
		p.done.Store(p.done.Load() &^ 1)
	}
}

// written notes that all but the last left bytes are in the journal by now.
func (p *place) written(left int) {
	if p != nil {
		p.done.Store((p.n.Load() - uint64(left)) << 1)
	}
}

// unwritten are the bytes of a place that was left which are not in the
// journal, and how long a file of it was before a write that was cut short: -1
// where none was.
func (p *place) unwritten() (data []byte, file int, size int64) {
	n, done := int(p.n.Load()), int(p.done.Load())
	if p.phase.Load() == placeReading {
		n, done = len(p.data), 0
		for n > 0 && p.data[n-1] == 0 {
			n--
		}
	}
	size = -1
	if done&1 == 1 {
		file, size = int(p.file.Load()), p.size.Load()
	}
	return p.data[min(done>>1, n):n], file, size
}

// adopt sorts the places of a file by whether an earlier engine left something
// there.
func (m *Memory) adopt(places []*place) {
	m.left = map[owner][]*place{}
	for _, p := range places {
		sound := p.n.Load() <= uint64(len(p.data)) && p.done.Load()>>1 <= p.n.Load() && p.stream <= 1
		phase := p.phase.Load()
		switch {
		case phase == placeFree && p.n.Load() == 0:
			m.give(p)
		case phase == placeFree || !sound:
			m.wipe(p)
		default:
			if data, _, _ := p.unwritten(); phase == placeReading {
				p.hold(len(data))
			}
			m.left[p.owner] = append(m.left[p.owner], p)
		}
	}
}

// wipe gives back a place whose data may be anything.
func (m *Memory) wipe(p *place) {
	p.phase.Store(placeFree) // first: nobody is to take all of it for something that was read
	p.n.Store(uint64(len(p.data)))
	m.give(p)
}

// claim gives what an earlier engine left of a journal. The caller gives it
// back with wipe.
func (m *Memory) claim(who owner) []*place {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.left[who]
	delete(m.left, who)
	return left
}

// Forget lets go of what an earlier engine left of journals that were not
// opened.
func (m *Memory) Forget() {
	if m == nil {
		return
	}
	m.mu.Lock()
	left := m.left
	m.left = nil
	m.mu.Unlock()
	for _, places := range left {
		for _, p := range places {
			m.wipe(p)
		}
	}
}
