package network

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/network/dns"
)

// Names under which a Keeper holds a sandbox's resolver sockets: queries made
// while no engine runs wait in them for the next.
func keptNames(id string) (udp, tcp string) { return "dns/" + id + "/udp", "dns/" + id + "/tcp" }

// keepSockets hands duplicates to the Keeper, behind the caller's back: until
// that is done a dying engine costs the container a repeated query, no more.
func (s *Stack) keepSockets(b *Sandbox, sockets dns.Sockets) {
	b.kept = make(chan struct{})
	if s.cfg.Keep == nil {
		close(b.kept)
		return
	}
	udp, err := duplicate(sockets.UDP)
	tcp, err2 := duplicate(sockets.TCP)
	if err := errors.Join(err, err2); err != nil {
		s.note(fmt.Sprintf("keep resolver of %.12s: %v", b.id, err))
	}
	s.work.Go(func() {
		defer close(b.kept)
		udpName, tcpName := keptNames(b.id)
		for name, f := range map[string]*os.File{udpName: udp, tcpName: tcp} {
			if f == nil {
				continue
			}
			if err := s.cfg.Keep.Keep(name, f); err != nil {
				s.note(fmt.Sprintf("keep resolver of %.12s: %v", b.id, err))
			}
			f.Close()
		}
	})
}

// sweepKept drops what was kept for sandboxes that are no more.
func (s *Stack) sweepKept() error {
	s.mu.Lock()
	left := map[string]*os.File{}
	for name, f := range s.cfg.Restored {
		if strings.HasPrefix(name, "dns/") {
			left[name] = f
			delete(s.cfg.Restored, name)
		}
	}
	s.mu.Unlock()
	var errs []error
	for name, f := range left {
		errs = append(errs, f.Close())
		if s.cfg.Keep != nil {
			errs = append(errs, s.cfg.Keep.Drop(name))
		}
	}
	return errors.Join(errs...)
}

func (s *Stack) dropSockets(id string) error {
	if s.cfg.Keep == nil {
		return nil
	}
	udp, tcp := keptNames(id)
	return errors.Join(s.cfg.Keep.Drop(udp), s.cfg.Keep.Drop(tcp))
}

// restoredSockets are those the Keeper held for a sandbox, nil where it did not.
func (s *Stack) restoredSockets(id string) *dns.Sockets {
	udpName, tcpName := keptNames(id)
	s.mu.Lock()
	udp, tcp := s.cfg.Restored[udpName], s.cfg.Restored[tcpName]
	delete(s.cfg.Restored, udpName)
	delete(s.cfg.Restored, tcpName)
	s.mu.Unlock()
	var out *dns.Sockets
	if udp != nil && tcp != nil {
		u, err := plainFD(udp)
		t, err2 := plainFD(tcp)
		if err == nil && err2 == nil {
			out = &dns.Sockets{UDP: u, TCP: t}
		}
	}
	for _, f := range []*os.File{udp, tcp} {
		if f != nil {
			f.Close()
		}
	}
	return out
}

func duplicate(fd int) (*os.File, error) {
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("duplicate socket", err)
	}
	return os.NewFile(uintptr(d), "resolver socket"), nil
}

// plainFD duplicates a file's descriptor for use without the runtime's poller.
func plainFD(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	var d int
	var dup error
	if err := raw.Control(func(fd uintptr) {
		if d, dup = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); dup == nil {
			dup = unix.SetNonblock(d, true)
		}
	}); err != nil {
		return -1, err
	}
	return d, dup
}
