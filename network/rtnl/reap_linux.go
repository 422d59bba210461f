package rtnl

import (
	"errors"
	"os"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// reapGroup is the first device group used for deletion.
const reapGroup = 0x64730000

// Reaper deletes interfaces, all that are asked for at a time in one request.
//
// The kernel unregisters an interface within some milliseconds, but answers the
// request only after an RCU barrier, tens of milliseconds later. Delete returns
// when the interface is gone: the kernel's notification says so.
type Reaper struct {
	mu      sync.Mutex
	pending *batch
	running bool
	group   uint32
	work    sync.WaitGroup
}

type batch struct {
	names []string
	gone  chan struct{}
	err   error // valid once gone is closed
}

// Delete deletes the interfaces named. Ones that do not exist are no error.
func (r *Reaper) Delete(names ...string) error {
	if len(names) == 0 {
		return nil
	}
	r.mu.Lock()
	if r.pending == nil {
		r.pending = &batch{gone: make(chan struct{})}
	}
	b := r.pending
	b.names = append(b.names, names...)
	if !r.running {
		r.running = true
		r.work.Go(r.run)
	}
	r.mu.Unlock()
	<-b.gone
	return b.err
}

// Close waits for the kernel's last answers.
func (r *Reaper) Close() { r.work.Wait() }

func (r *Reaper) run() {
	for {
		r.mu.Lock()
		b := r.pending
		r.pending = nil
		if b == nil {
			r.running = false
			r.mu.Unlock()
			return
		}
		r.group = (r.group + 1) & 0xffff
		group := reapGroup | r.group
		r.mu.Unlock()
		b.err = r.delete(b.names, group)
		close(b.gone)
	}
}

// delete returns when all names are gone or the kernel has answered.
func (r *Reaper) delete(names []string, group uint32) error {
	conn, err := Open()
	if err != nil {
		return err
	}
	events, err := subscribe(unix.RTNLGRP_LINK)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	left := make(map[string]bool, len(names))
	ops := make([]Op, 0, len(names)+1)
	for _, n := range names {
		if !left[n] {
			left[n] = true
			ops = append(ops, SetGroup(Link{Name: n}, group).Accept(unix.ENODEV))
		}
	}
	ops = append(ops, DeleteGroup(group))
	answer := make(chan error, 1)
	r.work.Go(func() {
		answer <- conn.Run(ops...)
		conn.Close()
		events.Close() // ends the wait, where a name was never there
	})
	if watch(events, left) {
		return nil
	}
	return <-answer
}

// watch reports whether every name was seen to go. It ends early when events
// is closed or overrun.
func watch(events *os.File, left map[string]bool) bool {
	var buf [16 << 10]byte
	for len(left) > 0 {
		n, err := events.Read(buf[:])
		if err != nil {
			return false
		}
		if !each(buf[:n], func(kind uint16, body []byte) {
			if kind == unix.RTM_DELLINK {
				delete(left, deleted(body))
			}
		}) {
			return false
		}
	}
	return true
}

// deleted is the name of an interface that has gone. The bridge family's
// message says only that one is a port no longer.
func deleted(b []byte) string {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return ""
	}
	attrs, err := nl.ParseRouteAttr(b[unix.SizeofIfInfomsg:])
	if err != nil {
		return ""
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_IFNAME && len(a.Value) > 0 {
			return string(a.Value[:len(a.Value)-1])
		}
	}
	return ""
}
