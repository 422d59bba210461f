package container

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// relative is a process of the container that an Exec has started, directly or
// not.
type relative struct {
	pid   int
	start uint64
}

// maxRounds bounds KillTree's search, should somebody fork faster than it looks.
const maxRounds = 20

// KillTree kills the process with all that it has started inside the container:
// who is of its session, and who descends from it. All are stopped before the
// first is killed, for the children of the dead have no parent to be found by.
// What has left both, as a daemon does, is not the process's any more.
func (p *Process) KillTree() error {
	var found []relative
	_ = p.Signal(unix.SIGSTOP) // an end meanwhile is as good
	for range maxRounds {
		more := p.relatives(found)
		for _, r := range more {
			r.signal(unix.SIGSTOP)
		}
		if found = append(found, more...); len(more) == 0 {
			break
		}
	}
	for _, r := range found {
		r.signal(unix.SIGKILL)
	}
	if err := p.Signal(unix.SIGKILL); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	return nil
}

// relatives are those that are not known yet.
func (p *Process) relatives(known []relative) (more []relative) {
	if p.group == nil {
		return nil
	}
	if start, err := startTime(p.process.pid); err == nil && start != p.process.start {
		return nil // somebody else has its pid, so nobody is left of its session
	}
	pids, _ := p.group.Procs() // of what is there meanwhile
	type link struct {
		relative
		parent int
	}
	var others []link
	of := map[int]bool{p.process.pid: true}
	for _, r := range known {
		of[r.pid] = true
	}
	for _, pid := range pids {
		f, err := statFields(pid)
		if err != nil || of[pid] && pid != p.process.pid {
			continue
		}
		l := link{relative: relative{pid: pid}}
		l.start, _ = strconv.ParseUint(string(f[22-firstStatField]), 10, 64)
		l.parent, _ = strconv.Atoi(string(f[4-firstStatField]))
		session, _ := strconv.Atoi(string(f[6-firstStatField]))
		switch {
		case pid == p.process.pid:
		case session == p.process.pid:
			of[pid] = true
			more = append(more, l.relative)
		default:
			others = append(others, l)
		}
	}
	for grown := true; grown; {
		grown = false
		for _, l := range others {
			if !of[l.pid] && of[l.parent] {
				of[l.pid], grown = true, true
				more = append(more, l.relative)
			}
		}
	}
	return more
}

// signal sends sig to exactly this process, not to one that has its pid now.
func (r relative) signal(sig unix.Signal) {
	fd, err := unix.PidfdOpen(r.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if start, err := startTime(r.pid); err == nil && start == r.start {
		unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}
