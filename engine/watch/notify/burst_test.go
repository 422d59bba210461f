package notify

import (
	"bytes"
	"testing"
	"time"

	"devstack/engine/watch"
)

func TestBurst(t *testing.T) {
	start := time.Unix(1000, 0)
	ms := func(n float64) time.Time { return start.Add(time.Duration(n * float64(time.Millisecond))) }
	for _, c := range []struct {
		paths     int
		last, now float64
		over      bool
	}{
		{1, 0, 0.5, false},
		{1, 0, 1, true},
		{2, 3, 3.5, false},
		{2, 3, 4, true},
		{1, 49.9, 50, true}, // written all the time
		{20, 3, 7, false},
		{20, 3, 8, true},
		{5000, 900, 920, false},
		{5000, 900, 925, true},
		{5000, 1999, 2000, true},
	} {
		b := burst{paths: c.paths}
		b.note(ms(0))
		b.note(ms(c.last))
		if got := b.rest(ms(c.now)) <= 0; got != c.over {
			t.Errorf("%d paths, last event at %v ms, now %v ms: over %v", c.paths, c.last, c.now, got)
		}
	}
	b := burst{paths: 1}
	b.note(ms(0))
	if !b.heedsGit(10*time.Millisecond, ms(1)) || b.heedsGit(time.Minute, ms(1)) {
		t.Error("a lock is heeded while it is young, unless there is much to do")
	}
	b.paths = 100
	if !b.heedsGit(5*time.Second, ms(100)) || b.heedsGit(5*time.Second, ms(300)) || b.heedsGit(time.Millisecond, ms(11_000)) {
		t.Error("a lock is heeded while events come, for ten seconds")
	}
}

// FuzzState reads what may have become of a state.
func FuzzState(f *testing.F) {
	var good bytes.Buffer
	good.WriteString(stateMagic)
	w := stateWriter{w: &good}
	w.add(record{"/a", entry{kind: rootKind}})
	w.add(record{"/a", entry{kind: watch.Dir, mode: 0o755}})
	w.add(record{"/a/b", entry{kind: watch.File, mode: 0o644, hash: short(nil), stat: 5}})
	w.add(record{"/a/c", entry{}})
	w.flush()
	f.Add(good.Bytes())
	f.Add(good.Bytes()[len(stateMagic)+8:])
	f.Fuzz(func(t *testing.T, b []byte) {
		r0 := &root{Root: watch.Root{Path: "/a"}, fresh: true}
		end, err := readState(bytes.NewReader(b), func(r record) { restore([]*root{r0}, r) })
		if err != nil || end > int64(len(b)) {
			t.Errorf("end %d of %d, %v", end, len(b), err)
		}
		readBlock(b, func(r record) { restore([]*root{r0}, r) })
		if bytes.Equal(b, good.Bytes()) {
			if r0.fresh || r0.get("b").hash != short(nil) || r0.get("").kind != watch.Dir || r0.get("c").kind != 0 {
				t.Errorf("read %+v", r0.top)
			}
		}
	})
}
