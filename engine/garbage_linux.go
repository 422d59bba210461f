package engine

import (
	"context"
	"sync"

	"devstack/engine/image/manage"
)

// garbage is what waits for pulls and builds to end.
type garbage struct {
	collect func(context.Context) error
	warn    func(error)

	mu      sync.Mutex
	waiting bool
	ended   bool
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// later collects garbage once nobody writes to the store any more.
func (g *garbage) later() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting || g.ended {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.waiting, g.stop = true, cancel
	g.done.Go(func() {
		err := g.collect(ctx)
		if ctx.Err() == nil && err != nil {
			g.warn(err)
		}
		cancel()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.waiting = false
	})
}

// close leaves what still waits to the next removal.
func (g *garbage) close() {
	g.mu.Lock()
	g.ended = true
	if g.waiting {
		g.stop()
	}
	g.mu.Unlock()
	g.done.Wait()
}

// collectGarbage waits for its turn.
func (e *Engine) collectGarbage(ctx context.Context) error {
	use, err := e.inUse()
	if err != nil {
		return err
	}
	use.Later = nil
	_, err = manage.Collect(ctx, e.images, use)
	return err
}
