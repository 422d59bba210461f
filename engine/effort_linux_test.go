package engine

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestEffort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []bool
		f := restingEffort(func(working bool) { told = append(told, working) })
		now := func(want ...bool) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(told, want) {
				t.Errorf("told %v, want %v", told, want)
			}
		}
		const rests, works = false, true
		one, two := f.begin(), f.begin()
		one()
		one() // counts once
		time.Sleep(2 * restAfter)
		now(rests, works)
		two()
		now(rests, works)
		time.Sleep(restAfter / 2)
		three := f.begin() // before the rest
		time.Sleep(2 * restAfter)
		now(rests, works, works)
		three()
		time.Sleep(2 * restAfter)
		now(rests, works, works, rests)
	})
	(*effort)(nil).begin()()
}
