package network

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// shelf is a Keeper in this process: what the guard does in its own, where a
// lazy one takes its time.
type shelf struct {
	lazy bool

	mu      sync.Mutex
	kept    map[string]*os.File
	dropped []*os.File // but not closed yet
}

func (s *shelf) Keep(name string, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var d int
	if err := raw.Control(func(fd uintptr) { d, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[string]*os.File{}
	}
	s.kept[name] = os.NewFile(uintptr(d), name)
	return err
}

func (s *shelf) Drop(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.kept[name]
	delete(s.kept, name)
	switch {
	case f == nil:
	case s.lazy:
		s.dropped = append(s.dropped, f)
	default:
		f.Close()
	}
	return nil
}

func (s *shelf) Sync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.dropped {
		f.Close()
	}
	s.dropped = nil
}

// restored duplicates what is kept, as the guard hands it to a new engine.
func (s *shelf) restored(t testing.TB) map[string]*os.File {
	t.Helper()
	next := &shelf{}
	for name, f := range s.kept {
		if err := next.Keep(name, f); err != nil {
			t.Fatal(err)
		}
	}
	return next.kept
}

// What was unpublished can be published again, although the Keeper still has it.
func TestPublishAgainBesideKeeper(t *testing.T) {
	s, err := Open(t.Context(), Config{DataRoot: t.TempDir(), RunRoot: t.TempDir(), Tag: "aaaac2", Keep: &shelf{lazy: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, proto := range []string{"tcp", "udp"} {
		spec := PublishSpec{Key: "shop/web/53/" + proto, Proto: proto, HostIP: netip.MustParseAddr("127.0.0.1"), Project: "shop"}
		for range 3 {
			p, err := s.Publish(t.Context(), spec)
			if err != nil {
				t.Fatalf("%s: %v", proto, err)
			}
			spec.HostPort = p.HostPort
			if err := s.Unpublish(spec.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestNextEngineTakesOver(t *testing.T) {
	for name, keeper := range map[string]*shelf{"with a guard": {}, "alone": nil} {
		t.Run(name, func(t *testing.T) { takeOver(t, keeper) })
	}
}

func takeOver(t *testing.T, keeper *shelf) {
	cfg := Config{DataRoot: t.TempDir(), RunRoot: t.TempDir(), Tag: "aaaac1"}
	if keeper != nil {
		cfg.Keep = keeper
	}
	first, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, first, Spec{Name: "open"})
	mustApply(t, first, Spec{Name: "more"})
	a, ends := container(t, first, 1, "open", "more")
	container(t, first, 2, "open")
	serve(t, a, ":80")
	spec := PublishSpec{Key: "shop/web/80", HostIP: netip.MustParseAddr("127.0.0.1"), Project: "shop"}
	p, err := first.Publish(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	spec.HostPort = p.HostPort
	backend := []netip.AddrPort{netip.AddrPortFrom(ends[0].IPv4.Addr(), 80)}
	first.SetBackends(spec.Key, backend)
	for range 2 { // by the proxy, then by the fast path
		if err := reach(at(p)); err != nil {
			t.Fatal(err)
		}
	}
	first.work.Wait() // resolver sockets are kept
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	// No engine: the fast path goes on, a query waits where somebody keeps the socket.
	if err := reach(at(p)); err != nil {
		t.Errorf("without an engine: %v", err)
	}
	answer := make(chan []string, 1)
	if keeper != nil {
		go func() { answer <- lookup(t, a, "udp", "web", dnsmessage.TypeA) }()
	}

	if keeper != nil {
		cfg.Restored = keeper.restored(t)
	}
	second, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	all := func(string) bool { return true }
	none := func(string) bool { return false }
	defer func() {
		if err := second.Sweep(context.Background(), none, none); err != nil {
			t.Error(err)
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
		leftovers(t, cfg)
		if keeper != nil && len(keeper.kept) > 0 {
			t.Errorf("still kept: %v", slices.Collect(maps.Keys(keeper.kept)))
		}
	}()
	if got := second.List(); len(got) != 2 || got[1].Pools[0].Subnet != ends[0].IPv4.Masked() {
		t.Errorf("networks %+v", got)
	}
	second.SetNames("open", map[string][]netip.Addr{"web": {ends[0].IPv4.Addr()}})
	b, err := second.OpenSandbox(t.Context(), id(1), SandboxConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if keeper != nil {
		if got := <-answer; len(got) != 1 {
			t.Errorf("query over the change of engines: %v", got)
		}
	}
	if got := lookup(t, b, "tcp", "web.open", dnsmessage.TypeA); len(got) != 1 || got[0] != ends[0].IPv4.Addr().String() {
		t.Errorf("web.open is %v", got)
	}
	q, err := second.Publish(t.Context(), spec)
	if err != nil || q.HostPort != p.HostPort {
		t.Fatalf("published at %v, %v; was %v", q, err, p)
	}
	if keeper != nil {
		// The rules are still those of the first engine, which lead on.
		if err := reach(at(q)); err != nil {
			t.Errorf("before backends are set: %v", err)
		}
	}
	second.SetBackends(spec.Key, backend)
	for range 2 {
		if err := reach(at(q)); err != nil {
			t.Error(err)
		}
	}
	if err := second.Sweep(t.Context(), all, func(s string) bool { return s == id(1) }); err != nil {
		t.Error(err)
	}
	if left := sh(t, "ip -o link | grep -c dsaaaac1v || true"); strings.TrimSpace(left) != "2" {
		t.Errorf("%s interfaces of containers are left, want 2", left)
	}
	// The address of the container that went is its own when it comes back.
	_, again := container(t, second, 2, "open")
	if again[0].IPv4.Addr().String() != "10.213.0.3" && again[0].IPv4.Addr() != ends[0].IPv4.Addr().Next() {
		t.Errorf("address %v is not the one it had", again[0].IPv4)
	}
	if e, err := second.Attach(t.Context(), id(1), EndpointSpec{Network: "open"}); err != nil || e != ends[0] {
		t.Errorf("attached again at %+v, %v; was %+v", e, err, ends[0])
	}
	if err := second.Unpublish(spec.Key); err != nil {
		t.Error(err)
	}
}

// A crash between any two steps leaves names; Sweep needs nothing else.
func TestSweepFromNamesAlone(t *testing.T) {
	cfg := Config{DataRoot: t.TempDir(), RunRoot: t.TempDir(), Tag: "aaaac2"}
	other := newStack(t, "aaaac3")
	mustApply(t, other, Spec{Name: "open"})
	box, ends := container(t, other, 9, "open")
	first, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, first, Spec{Name: "open"})
	container(t, first, 1, "open")
	first.Close()
	for _, dir := range []string{cfg.RunRoot + "/sandboxes", cfg.DataRoot + "/networks"} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	second, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	none := func(string) bool { return false }
	if err := second.Sweep(t.Context(), none, none); err != nil {
		t.Error(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	leftovers(t, cfg)
	serve(t, box, ":80")
	if err := reach(ends[0].IPv4.Addr().String() + ":80"); err != nil {
		t.Errorf("the other engine's container: %v", err)
	}
}
