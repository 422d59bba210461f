package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"devstack/network/netns"
	"devstack/network/nettest"
)

func TestMain(m *testing.M) { nettest.Main(m.Run) }

// newStack opens a stack of its own and checks at the end that nothing is left.
func newStack(t testing.TB, tag string) *Stack {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	cfg := Config{DataRoot: t.TempDir(), RunRoot: t.TempDir(), Tag: tag}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		none := func(string) bool { return false }
		if err := s.Sweep(context.Background(), none, none); err != nil {
			t.Errorf("sweep: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		leftovers(t, cfg)
		if err := goleak.Find(ignore); err != nil {
			t.Error(err)
		}
	})
	return s
}

func leftovers(t testing.TB, cfg Config) {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Name, "ds"+cfg.Tag) {
			t.Errorf("interface %s is left", l.Name)
		}
	}
	if names, _ := netns.List(cfg.RunRoot + "/netns"); len(names) > 0 {
		t.Errorf("namespaces are left: %v", names)
	}
	if out := sh(t, "cat /proc/self/mountinfo"); strings.Contains(out, cfg.RunRoot) {
		t.Errorf("mounts are left:\n%s", out)
	}
	if out := sh(t, "nft list ruleset"); strings.Contains(out, cfg.Tag) {
		t.Errorf("rules are left:\n%s", out)
	}
}

func sh(t testing.TB, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// within runs a command inside a sandbox.
func within(t testing.TB, b *Sandbox, script string) string {
	t.Helper()
	out, err := runWithin(b, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func runWithin(b *Sandbox, script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nsenter", "--net="+b.Path(), "sh", "-ec", script).CombinedOutput()
	return string(out), err
}

func mustApply(t testing.TB, s *Stack, spec Spec) Network {
	t.Helper()
	n, err := s.Apply(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func id(n int) string { return fmt.Sprintf("%064x", n) }

// container makes a sandbox attached to networks.
func container(t testing.TB, s *Stack, n int, networks ...string) (*Sandbox, []Endpoint) {
	t.Helper()
	b, err := s.CreateSandbox(t.Context(), id(n), SandboxConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var ends []Endpoint
	for _, name := range networks {
		e, err := s.Attach(t.Context(), id(n), EndpointSpec{Network: name, Key: fmt.Sprintf("shop/svc/%d", n)})
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, e)
	}
	return b, ends
}

// inside runs fn on a thread in a sandbox.
func inside(t testing.TB, b *Sandbox, fn func() error) {
	t.Helper()
	if err := netns.Do(b.Path(), fn); err != nil {
		t.Fatal(err)
	}
}

// serve echoes TCP connections made to addr inside a sandbox.
func serve(t testing.TB, b *Sandbox, addr string) {
	t.Helper()
	var l net.Listener
	inside(t, b, func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	nettest.Echo(t, l)
}

// dialFrom connects from inside a sandbox; net.Dial stays on its goroutine for
// an address, and so on the thread that has moved.
func dialFrom(b *Sandbox, network, addr string) (net.Conn, error) {
	var c net.Conn
	err := netns.Do(b.Path(), func() (err error) {
		c, err = net.DialTimeout(network, addr, 500*time.Millisecond)
		return err
	})
	return c, err
}

// talks reports whether a sandbox reaches an echo service.
func talks(b *Sandbox, addr string) error {
	c, err := dialFrom(b, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return nettest.Roundtrip(c)
}

func TestTwoContainersTalk(t *testing.T) {
	s := newStack(t, "aaaaa1")
	mustApply(t, s, Spec{Name: "shop_default", Project: "shop"})
	a, _ := container(t, s, 1, "shop_default")
	b, ends := container(t, s, 2, "shop_default")
	serve(t, b, ":80")
	if err := talks(a, ends[0].IPv4.Addr().String()+":80"); err != nil {
		t.Fatalf("%v\n%s", err, within(t, a, "ip a; ip r"))
	}
	s.SetNames("shop_default", map[string][]netip.Addr{"web": {ends[0].IPv4.Addr()}})
	for _, network := range []string{"udp", "tcp"} {
		if got := lookup(t, a, network, "web", dnsmessage.TypeA); len(got) != 1 || got[0] != ends[0].IPv4.Addr().String() {
			t.Errorf("web over %s is %v", network, got)
		}
	}
}

// lookup asks the resolver inside a sandbox, and returns addresses and names,
// or the code of a failure.
func lookup(t testing.TB, b *Sandbox, network, name string, kind dnsmessage.Type) []string {
	t.Helper()
	c, err := dialFrom(b, network, "127.0.0.11:53")
	if err != nil {
		t.Fatalf("dial resolver: %v", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	q := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 4711, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: kind, Class: dnsmessage.ClassINET}},
	}
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 4096)
	if network == "tcp" {
		msg = append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)
	}
	if _, err := c.Write(msg); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(reply)
	if err == nil && network == "tcp" {
		for n < 2 || n < 2+int(reply[0])<<8+int(reply[1]) {
			more, err := c.Read(reply[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += more
		}
		reply, n = reply[2:], n-2
	}
	if err != nil {
		t.Fatalf("ask %s over %s: %v", name, network, err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(reply[:n]); err != nil {
		t.Fatal(err)
	}
	if m.ID != 4711 || !m.Response {
		t.Fatalf("reply %+v", m.Header)
	}
	if m.RCode != dnsmessage.RCodeSuccess {
		return []string{m.RCode.String()}
	}
	var out []string
	for _, rr := range m.Answers {
		switch body := rr.Body.(type) {
		case *dnsmessage.AResource:
			out = append(out, netip.AddrFrom4(body.A).String())
		case *dnsmessage.AAAAResource:
			out = append(out, netip.AddrFrom16(body.AAAA).String())
		case *dnsmessage.PTRResource:
			out = append(out, body.PTR.String())
		}
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }

// pause lets others run while a test waits for what it can only look at.
func pause() { runtime.Gosched() }
