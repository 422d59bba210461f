package supervise

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResolveNames(t *testing.T) {
	a, b, c := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4")
	got := resolveNames(map[string]nameEntry{
		"1": {names: []string{"web", "web-1"}, addrs: []netip.Addr{b}, ready: true},
		"2": {names: []string{"web", "web-2"}, addrs: []netip.Addr{a}, ready: false},
		"3": {names: []string{"db"}, addrs: []netip.Addr{c}, ready: false},
	})
	want := map[string][]netip.Addr{
		"web":   {b}, // only the healthy one
		"web-1": {b},
		"web-2": {a}, // asked for by its own name, it answers
		"db":    {c}, // nobody is healthy: all
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestNameBoardForgets(t *testing.T) {
	var last map[string][]netip.Addr
	b := newNameBoard(func(_ string, names map[string][]netip.Addr) { last = names })
	b.put("net", "1", nameEntry{names: []string{"web"}, addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, ready: true})
	if len(last["web"]) != 1 {
		t.Fatalf("names = %v, want web", last)
	}
	b.drop("net", "1")
	if len(last) != 0 {
		t.Errorf("names = %v after drop, want none", last)
	}
}
