package notify

import "time"

// opened is a file that was reported while somebody had it open for writing. He
// may go on without an event, by mmap(2): so it is read again until he has
// closed it, ever more seldom, and not for ever.
type opened struct {
	next, until time.Time
	pause       time.Duration
}

const (
	firstReread = 200 * time.Millisecond
	lastReread  = 10 * time.Second
)

// stillOpen notes a file that was waited for, if that was not long enough.
func (w *Watcher) stillOpen(real string, now time.Time) {
	if beingWritten(real) {
		w.open[real] = opened{next: now.Add(firstReread), until: now.Add(lastReread), pause: firstReread}
	}
}

// reread reads files again that were open, and says when to do so the next
// time; 0: there are none.
func (w *Watcher) reread(now time.Time) (wait time.Duration) {
	for real, o := range w.open {
		if !now.Before(o.next) {
			still := beingWritten(real) // before it is read: so the last time is after the end
			w.each(real, func(r *root, rel string) { w.scan.reread(r, rel) })
			if !still || now.After(o.until) {
				delete(w.open, real)
				continue
			}
			o.pause *= 2
			o.next = now.Add(o.pause)
			w.open[real] = o
		}
		if left := max(o.next.Sub(now), time.Microsecond); wait == 0 || left < wait {
			wait = left
		}
	}
	return wait
}

// reread looks at a file even if nothing says that it changed.
func (s *scanner) reread(r *root, rel string) {
	parent, name := r.parent(rel)
	if parent == nil {
		return
	}
	if i, ok := parent.findFile(name); ok {
		parent.files[i].racy = true
	}
	s.look(r, rel, false, patience{})
}
