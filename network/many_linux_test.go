package network

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sync/errgroup"
)

// Fifty at a time, on two networks each, with names and a port: and what one
// of them costs.
func TestManyInParallel(t *testing.T) {
	const many = 50
	const budget = 60 << 10 // bytes a container
	s := newStack(t, "aaaaf1")
	mustApply(t, s, Spec{Name: "one"})
	mustApply(t, s, Spec{Name: "two"})
	before := memory()
	threads := threadCount(t)
	var all errgroup.Group
	boxes := make([]*Sandbox, many)
	for i := range many {
		all.Go(func() (err error) {
			if boxes[i], err = s.CreateSandbox(t.Context(), id(i), SandboxConfig{}); err != nil {
				return err
			}
			for _, n := range []string{"one", "two"} {
				if _, err := s.Attach(t.Context(), id(i), EndpointSpec{Network: n, Key: fmt.Sprintf("shop/svc/%d", i)}); err != nil {
					return err
				}
			}
			key := fmt.Sprintf("shop/svc/80/%d", i)
			if _, err := s.Publish(t.Context(), PublishSpec{Key: key}); err != nil {
				return err
			}
			s.SetBackends(key, []netip.AddrPort{netip.AddrPortFrom(boxes[i].endpoints[0].Endpoint.IPv4.Addr(), 80)})
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	names := map[string][]netip.Addr{}
	seen := map[netip.Addr]bool{}
	for i, b := range boxes {
		a := b.endpoints[0].Endpoint.IPv4.Addr()
		if seen[a] {
			t.Errorf("%s was given twice", a)
		}
		seen[a] = true
		names[fmt.Sprintf("svc%d", i)] = []netip.Addr{a}
	}
	s.SetNames("one", names)
	each := (memory() - before) / many
	t.Logf("%d bytes of heap and stacks for each, %d threads more", each, threadCount(t)-threads)
	if each > budget {
		t.Errorf("%d bytes for each, the budget is %d", each, budget)
	}
	if n := threadCount(t) - threads; n > 4*runtime.GOMAXPROCS(0)+8 {
		t.Errorf("%d threads were started", n)
	}
	if got := lookup(t, boxes[0], "udp", "svc49", dnsmessage.TypeA); len(got) != 1 || got[0] != boxes[49].endpoints[0].Endpoint.IPv4.Addr().String() {
		t.Errorf("svc49 is %v", got)
	}
	for i := range many {
		all.Go(func() error { return s.Unpublish(fmt.Sprintf("shop/svc/80/%d", i)) })
		all.Go(func() error { return s.RemoveSandbox(t.Context(), id(i)) })
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	if left := sh(t, "ip -o link | grep -c dsaaaaf1v || true"); strings.TrimSpace(left) != "0" {
		t.Errorf("%s interfaces are left when RemoveSandbox has returned", left)
	}
}

func memory() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

func threadCount(t testing.TB) int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
