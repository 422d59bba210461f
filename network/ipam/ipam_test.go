package ipam

import (
	"errors"
	"net/netip"
	"testing"
)

var none netip.Addr

func leases(t *testing.T, p Pool, s State) *Leases {
	t.Helper()
	l, err := NewLeases(p, s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func take(t *testing.T, l *Leases, key, owner string, want netip.Addr) string {
	t.Helper()
	a, err := l.Take(key, owner, want)
	if err != nil {
		t.Fatal(err)
	}
	return a.String()
}

func TestAddressesAreSticky(t *testing.T) {
	p := Pool{Subnet: netip.MustParsePrefix("10.1.2.0/24"), Aux: map[string]netip.Addr{"printer": netip.MustParseAddr("10.1.2.2")}}
	l := leases(t, p, nil)
	if a := take(t, l, "p/web/1", "c1", none); a != "10.1.2.3" {
		t.Errorf("web has %s", a)
	}
	if a := take(t, l, "p/db/1", "c2", none); a != "10.1.2.4" {
		t.Errorf("db has %s", a)
	}
	l.Release("c1")
	if a := take(t, l, "p/new/1", "c3", none); a != "10.1.2.5" {
		t.Errorf("new has %s, which may be remembered for another", a)
	}
	l = leases(t, p, l.State()) // the next engine
	if a := take(t, l, "p/web/1", "c4", none); a != "10.1.2.3" {
		t.Errorf("web came back as %s", a)
	}
	if a := take(t, l, "p/web/1", "c5", none); a == "10.1.2.3" {
		t.Error("two generations have one address")
	}
	if !l.Forget(func(key string) bool { return key == "p/db/1" }) {
		t.Error("nothing forgotten")
	}
	if a := take(t, l, "p/other/1", "c6", none); a != "10.1.2.4" {
		t.Errorf("the forgotten address is not given out, but %s", a)
	}
}

func TestRangeAndStatic(t *testing.T) {
	p := Pool{Subnet: netip.MustParsePrefix("10.1.2.0/24"), Range: netip.MustParsePrefix("10.1.2.128/30"), Gateway: netip.MustParseAddr("10.1.2.254")}
	l := leases(t, p, nil)
	static := netip.MustParseAddr("10.1.2.9")
	if a := take(t, l, "k", "c0", static); a != "10.1.2.9" {
		t.Error(a)
	}
	if _, err := l.Take("x", "c9", static); !errors.Is(err, ErrTaken) {
		t.Error(err)
	}
	for _, bad := range []string{"10.1.3.1", "10.1.2.0", "10.1.2.255", "fd00::1"} {
		if _, err := l.Take("x", "c9", netip.MustParseAddr(bad)); !errors.Is(err, ErrOutside) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, want := range []string{"10.1.2.128", "10.1.2.129", "10.1.2.130", "10.1.2.131"} {
		if a := take(t, l, "k"+want, want, none); a != want {
			t.Errorf("%s, want %s", a, want)
		}
	}
	if _, err := l.Take("x", "c9", none); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	l.Release("10.1.2.129") // remembered, but better than nothing
	if a := take(t, l, "x", "c9", none); a != "10.1.2.129" {
		t.Error(a)
	}
}

func TestFree(t *testing.T) {
	c := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/23"), netip.MustParsePrefix("255.255.255.0/24")}
	var taken []netip.Prefix
	for _, want := range []string{"10.0.0.0/24", "10.0.1.0/24", "255.255.255.0/24"} {
		p, ok := Free(c, 24, taken)
		if !ok || p.String() != want {
			t.Errorf("%s, want %s", p, want)
		}
		taken = append(taken, p)
	}
	if p, ok := Free(c, 24, taken); ok {
		t.Errorf("%s is free?", p)
	}
	if p, _ := Free(c, 24, []netip.Prefix{netip.MustParsePrefix("10.0.0.77/32")}); p.String() != "10.0.1.0/24" {
		t.Errorf("%s overlaps a host route", p)
	}
}

func TestPoolsThatCannotBe(t *testing.T) {
	for _, p := range []Pool{
		{},
		{Subnet: netip.MustParsePrefix("10.0.0.0/31")},
		{Subnet: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.1.1")},
		{Subnet: netip.MustParsePrefix("10.0.0.0/24"), Range: netip.MustParsePrefix("10.0.0.0/16")},
	} {
		if _, err := NewLeases(p, nil); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}
