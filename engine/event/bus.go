package event

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"devstack/engine/api"
)

const (
	history = 1000 // events that are remembered for Filter.Since
	queue   = 1000 // events that wait for one slow subscriber
)

// The event that stands for those a slow subscriber has lost; the attribute
// "count" says how many.
const (
	TypeEngine    = "engine"
	ActionDropped = "dropped"
)

// Filter selects events; zero fields select all.
type Filter struct {
	Project  string
	Services []string
	Since    time.Time // remembered events from then on come first
}

// Match says whether e passes the filter.
func (f Filter) Match(e api.Event) bool {
	return (f.Project == "" || e.Project == f.Project) &&
		(len(f.Services) == 0 || slices.Contains(f.Services, e.Service))
}

// Bus hands events to its subscribers. The zero Bus is ready.
type Bus struct {
	mu   sync.Mutex
	ring []api.Event // the last ones, oldest at next once it is full
	next int
	subs map[*subscriber]struct{}
}

// subscriber is a bounded queue with one reader.
type subscriber struct {
	filter Filter

	mu      sync.Mutex
	queue   []api.Event
	dropped int
	wake    chan struct{} // capacity 1: there is something in queue
}

// Publish hands e to all subscribers and returns at once. A zero Time becomes
// now.
func (b *Bus) Publish(e api.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ring) < history {
		b.ring = append(b.ring, e)
	} else {
		b.ring[b.next] = e
		b.next = (b.next + 1) % history
	}
	for s := range b.subs {
		if s.filter.Match(e) {
			s.put(e)
		}
	}
}

// Subscribe returns a channel of the events that pass f, closed when ctx ends.
// No event published after Subscribe has returned is missed.
func (b *Bus) Subscribe(ctx context.Context, f Filter) <-chan api.Event {
	s := b.add(f)
	out := make(chan api.Event)
	go func() {
		defer close(out)
		b.serve(ctx, s, func(e api.Event) error {
			select {
			case out <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return out
}

// Follow calls fn with the events that pass f until ctx ends (it returns nil
// then) or fn fails.
func (b *Bus) Follow(ctx context.Context, f Filter, fn func(api.Event) error) error {
	return b.serve(ctx, b.add(f), fn)
}

func (b *Bus) add(f Filter) *subscriber {
	s := &subscriber{filter: f, wake: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !f.Since.IsZero() {
		for i := range b.ring {
			if e := b.ring[(b.next+i)%len(b.ring)]; !e.Time.Before(f.Since) && f.Match(e) {
				s.put(e)
			}
		}
	}
	if b.subs == nil {
		b.subs = map[*subscriber]struct{}{}
	}
	b.subs[s] = struct{}{}
	return s
}

func (b *Bus) serve(ctx context.Context, s *subscriber, fn func(api.Event) error) error {
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, s)
	}()
	for {
		// What is there goes out even if ctx has ended: it may be a deadline in
		// the past, for those who ask for history only.
		for _, e := range s.take() {
			if err := fn(e); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
	}
}

func (s *subscriber) put(e api.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= queue {
		s.queue = s.queue[1:]
		s.dropped++
	}
	s.queue = append(s.queue, e)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take empties the queue; what was lost comes first, for it is older.
func (s *subscriber) take() []api.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.queue
	if s.dropped > 0 {
		lost := api.Event{
			Time: events[0].Time, Type: TypeEngine, Action: ActionDropped,
			Attributes: map[string]string{"count": strconv.Itoa(s.dropped)},
		}
		events = append([]api.Event{lost}, events...)
	}
	s.queue, s.dropped = nil, 0
	return events
}
