package flight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestCallersShareTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int, string]
		var runs, heard atomic.Int32
		release := make(chan struct{})
		work := func(ctx context.Context, report func(string)) (int, error) {
			runs.Add(1)
			<-release
			report("half")
			return 42, nil
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				got, err := g.Do(t.Context(), "k", func(string) { heard.Add(1) }, work)
				if got != 42 || err != nil {
					t.Error(got, err)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if runs.Load() != 1 || heard.Load() != 10 {
			t.Errorf("%d runs, %d reports", runs.Load(), heard.Load())
		}
	})
}

func TestWorkOutlivesOneCallerNotTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int, string]
		ended := make(chan error, 2)
		work := func(ctx context.Context, _ func(string)) (int, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return 0, ctx.Err()
		}
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		results := make(chan error, 2)
		for _, ctx := range []context.Context{first, second} {
			go func() {
				_, err := g.Do(ctx, "k", nil, work)
				results <- err
			}()
		}
		synctest.Wait()
		leaveFirst()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		select {
		case <-ended:
			t.Error("the work ended with one caller left")
		default:
		}
		leaveSecond()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		<-ended
		// A newcomer starts afresh.
		got, err := g.Do(t.Context(), "k", nil, func(context.Context, func(string)) (int, error) { return 1, nil })
		if got != 1 || err != nil {
			t.Error(got, err)
		}
	})
}
