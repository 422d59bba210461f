package engine

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestEffort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limits []int64
		f := &effort{limit: func(bytes int64) { limits = append(limits, bytes) }}
		now := func(want ...int64) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(limits, want) {
				t.Errorf("limits are %d, want %d", limits, want)
			}
		}
		one, two := f.begin(), f.begin()
		one()
		one() // counts once
		time.Sleep(2 * restAfter)
		now(workTarget)
		two()
		now(workTarget)
		time.Sleep(restAfter / 2)
		three := f.begin() // before the rest
		time.Sleep(2 * restAfter)
		now(workTarget, workTarget)
		three()
		time.Sleep(2 * restAfter)
		now(workTarget, workTarget, memoryTarget)
	})
	(*effort)(nil).begin()()
}
