package supervise

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/container"
)

// The first process of a pid namespace does not get a signal for which it has
// no handler: the kernel drops it, see pid_namespaces(7). A program that is told
// to end while it still starts would run on until it is killed. So it is told
// again as soon as it listens.
//
// Programs that never do (Node.js, Python, shells) run until their grace is over,
// as everywhere. Only where an edit is the reason, again and again, nobody waits
// for what cannot come, see Hasten.

// hearing is what becomes of a signal to a container's first process.
type hearing int

const (
	hears hearing = iota // it gets it, or wants nothing of it
	waits                // it is blocked: fetched by and by, or dropped when it is not any more
	deaf                 // the kernel drops it
)

func hearingOf(pid int, sig unix.Signal) hearing {
	if sig == unix.SIGKILL || sig == unix.SIGSTOP {
		return hears
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return hears
	}
	return parseHearing(status, sig)
}

// parseHearing is hearingOf for the text of /proc/PID/status.
func parseHearing(status []byte, sig unix.Signal) hearing {
	first, blocked := false, false
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch key {
		case "NSpid":
			pids := strings.Fields(value)
			first = len(pids) > 1 && pids[len(pids)-1] == "1"
		case "SigBlk", "SigIgn", "SigCgt":
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			switch {
			case err != nil || set&(1<<(uint(sig)-1)) == 0:
			case key == "SigBlk": // comes before the others
				blocked = true
			default:
				return hears
			}
		}
	}
	switch {
	case !first:
		return hears
	case blocked:
		return waits
	}
	return deaf
}

// repeat sends sig, which a process could not hear, once it listens. A process
// that blocked it (a shell does so for a moment whenever it forks) may turn out
// to be deaf; one that fetches it never does.
func repeat(r *run, c *container.Container, sig unix.Signal, was hearing) error {
	dropped := was == deaf
	for delay := time.Millisecond; ; delay = min(delay*3/2, maxRepeatDelay) {
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-r.ended:
			timer.Stop()
			return nil
		}
		switch hearingOf(c.PID(), sig) {
		case deaf:
			dropped = true
		case hears:
			if !dropped {
				return nil
			}
			return ignoreGone(c.Signal(sig))
		}
	}
}

// maxRepeatDelay: the kernel tells nobody that a handler was installed.
const maxRepeatDelay = 20 * time.Millisecond

// grown is how old a process is that will not learn to listen any more.
const grown = time.Second / 4

// Hasten is for what a saved file sets off, until release is called: a process
// that cannot hear its stop signal is not waited for, and a restart that has begun
// comes to its end also when a newer edit ends ctx, which ends only its wait for
// others. The caller has the right to change the project.
func (p *Project) Hasten() (release func()) {
	set := func(v bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.hasty = v
	}
	set(true)
	return func() { set(false) }
}

func (p *Project) isHasty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hasty
}

// whole is the context of a step of which half is of no use, see Hasten.
func (p *Project) whole(ctx context.Context) context.Context {
	if p.isHasty() {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// graceOfDeaf is the time that a process has which is deaf to its stop signal.
func (u *Unit) graceOfDeaf(limit time.Duration) time.Duration {
	if !u.p.isHasty() {
		return limit
	}
	return min(limit, max(0, grown-time.Since(u.Record().Started)))
}
