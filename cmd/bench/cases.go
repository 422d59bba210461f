package main

import (
	"fmt"
	"time"
)

// noTarget is the target of what has none.
const noTarget = 0

// devstack is the tool that all this is about.
const devstack = "devstack"

// target is the project's promise, in multiples of the baseline; peers have
// promised nothing.
func (t tool) target(name string) float64 {
	if t.name != devstack {
		return noTarget
	}
	switch name {
	case "up 1":
		return 4
	case "up 20":
		return 14
	case "down 20":
		return 12
	case "up 20, nothing to do", "restart one of 20":
		return 3
	case "ps of 20":
		return 1.5
	case "exec in one of 20":
		return 2
	case "up chain of 10, healthy":
		return 60
	case cachedBuild:
		return 3
	case changedBuild:
		return 8
	}
	return noTarget
}

// coldUp measures up with no engine running, which the command has to start.
func (b *bench) coldUp(t tool, n int) {
	name := fmt.Sprintf("up %d, cold engine", n)
	if !b.wanted(t, name) {
		return
	}
	folder, err := writeProject(b.dir, fmt.Sprintf("flat%d", n), flatProject(n, t.image))
	if err != nil {
		b.report.fail(t.name, name, err)
		return
	}
	b.sample(t, name, min(5, b.times(n)), func(int) (time.Duration, error) {
		if _, err := t.run(folder, "engine", "stop"); err != nil {
			return 0, err
		}
		took, err := t.run(folder, "up", "-d")
		if err == nil {
			_, err = t.run(folder, "down")
		}
		return took, err
	})
}

// verbs measures what every tool has.
func (b *bench) verbs(t tool) {
	b.builds(t)
	for _, n := range b.sizes {
		b.upDown(t, n)
	}
	const n = 20
	folder, err := writeProject(b.dir, "flat20", flatProject(n, t.image))
	if err == nil {
		_, err = t.run(folder, "up", "-d")
	}
	if err != nil {
		b.report.fail(t.name, "up 20", err)
		return
	}
	b.repeat(t, folder, "up 20, nothing to do", "up", "-d")
	b.repeat(t, folder, "restart one of 20", "restart", "s7")
	b.repeat(t, folder, "ps of 20", "ps")
	b.repeat(t, folder, "exec in one of 20", "exec", "-T", "s7", truePath)
	if _, err := t.run(folder, "down"); err != nil {
		b.report.fail(t.name, "down 20", err)
	}
	b.chain(t)
}

// repeat measures one command on a project that is up.
func (b *bench) repeat(t tool, folder, name string, verb ...string) {
	if !b.wanted(t, name) {
		return
	}
	b.sample(t, name, b.runs, func(int) (time.Duration, error) { return t.run(folder, verb...) })
}

// sample measures a case by what once gives, from the first run to the last.
func (b *bench) sample(t tool, name string, runs int, once func(i int) (time.Duration, error)) {
	var times []time.Duration
	for i := range runs {
		took, err := once(i)
		if err != nil {
			b.report.fail(t.name, name, err)
			return
		}
		times = append(times, took)
	}
	b.report.time(t.name, name, times, b.baseline, t.target(name))
}

func (b *bench) upDown(t tool, n int) {
	up, down := fmt.Sprintf("up %d", n), fmt.Sprintf("down %d", n)
	if !b.wanted(t, up+" and "+down) {
		return
	}
	folder, err := writeProject(b.dir, fmt.Sprintf("flat%d", n), flatProject(n, t.image))
	if err != nil {
		b.report.fail(t.name, up, err)
		return
	}
	b.pairs(t, folder, up, down, b.times(n))
}

func (b *bench) chain(t tool) {
	up, down := "up chain of 10, healthy", "down chain of 10"
	if !b.wanted(t, up) {
		return
	}
	folder, err := writeProject(b.dir, "chain10", chainProject(10, t.image))
	if err != nil {
		b.report.fail(t.name, up, err)
		return
	}
	b.pairs(t, folder, up, down, max(3, b.runs/2), "--wait")
}

// pairs measures up and down of a project in turns.
func (b *bench) pairs(t tool, folder, up, down string, runs int, flags ...string) {
	var ups, downs []time.Duration
	for range runs {
		took, err := t.run(folder, append([]string{"up", "-d"}, flags...)...)
		if err != nil {
			b.report.fail(t.name, up, err)
			t.run(folder, "down")
			return
		}
		ups = append(ups, took)
		if took, err = t.run(folder, "down"); err != nil {
			b.report.fail(t.name, down, err)
			return
		}
		downs = append(downs, took)
	}
	b.report.time(t.name, up, ups, b.baseline, t.target(up))
	b.report.time(t.name, down, downs, b.baseline, t.target(down))
}
