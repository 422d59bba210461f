package network

import "sync"

// saver writes records behind the callers' backs: an address that is given out
// need not wait for the disk. Whatever is asked for while it writes is written
// once more afterwards. What a crash loses here, the sandboxes' own records and
// the next Attach bring back.
type saver struct {
	write func(name string)

	mu      sync.Mutex
	dirty   map[string]bool
	running bool
	work    sync.WaitGroup
}

func newSaver(write func(name string)) *saver {
	return &saver{write: write, dirty: map[string]bool{}}
}

// Save has the record of name written soon.
func (s *saver) Save(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty[name] = true
	if !s.running {
		s.running = true
		s.work.Go(s.run)
	}
}

// Close waits until everything is written.
func (s *saver) Close() { s.work.Wait() }

func (s *saver) run() {
	for {
		s.mu.Lock()
		if len(s.dirty) == 0 {
			s.running = false
			s.mu.Unlock()
			return
		}
		names := s.dirty
		s.dirty = map[string]bool{}
		s.mu.Unlock()
		for name := range names {
			s.write(name)
		}
	}
}
