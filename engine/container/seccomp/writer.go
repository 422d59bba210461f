package seccomp

// writer writes a program from its end: jumps go forward only, so what they lead
// to is there already, and one return serves everything within reach of it. The
// kernel translates a filter for each process that loads it, so its length is
// part of what a container costs.
//
// A place is counted from the end, too: it is the number of instructions from
// there on.
type writer struct {
	back     []instruction  // the last one first
	verdicts map[uint32]int // the latest place that returns a verdict
}

// near is how far a conditional jump may lead, with room for the two
// instructions that may come between choosing a goal and jumping there.
const near = 255 - 2

func (w *writer) put(i instruction) { w.back = append(w.back, i) }

// here is the place of what was written last.
func (w *writer) here() int { return len(w.back) }

// distance is what a jump that is written next has to skip.
func (w *writer) distance(place int) int { return len(w.back) - place }

// verdict is a near place that returns v.
func (w *writer) verdict(v uint32) int {
	place, ok := w.verdicts[v]
	if !ok || w.distance(place) > near {
		w.put(ret(v)[0])
		place = w.here()
		w.verdicts[v] = place
	}
	return place
}

// goal is where a search leads: a place, or any that returns the verdict.
type goal struct {
	place   int
	verdict uint32
	plain   bool
}

// reach is a near place that leads to the goal.
func (w *writer) reach(g goal) int {
	if g.plain {
		return w.verdict(g.verdict)
	}
	if w.distance(g.place) > near {
		w.put(instruction{code: opJump, k: uint32(w.distance(g.place))})
		return w.here()
	}
	return g.place
}

// jump leads what is written before it to the goal.
func (w *writer) jump(g goal) {
	if place := w.reach(g); place != w.here() {
		w.put(instruction{code: opJump, k: uint32(w.distance(place))})
	}
}

// search writes a binary search for the accumulator's span.
func (w *writer) search(all []span) goal {
	if len(all) == 1 {
		return w.span(all[0])
	}
	middle := len(all) / 2
	above := w.search(all[middle:])
	below := w.search(all[:middle])
	yes, no := w.reach(above), w.reach(below)
	w.put(instruction{code: opJge, k: all[middle].from, jt: uint8(w.distance(yes)), jf: uint8(w.distance(no))})
	return goal{place: w.here()}
}

func (w *writer) span(s span) goal {
	if len(s.code) == 1 && s.code[0].code == opReturn {
		return goal{verdict: s.code[0].k, plain: true}
	}
	for i := range s.code {
		w.put(s.code[len(s.code)-1-i])
	}
	return goal{place: w.here()}
}
