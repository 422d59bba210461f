package network

import (
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devstack/network/netns"
	"devstack/network/nettest"
)

// outside is another machine: a namespace with a cable to this one.
func outside(t testing.TB, name, here, there string) *Sandbox {
	t.Helper()
	b := &Sandbox{path: filepath.Join(t.TempDir(), name)}
	if err := netns.New(b.path, func() error { return exec.Command("ip", "link", "set", "lo", "up").Run() }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		exec.Command("ip", "link", "del", name).Run()
		if err := netns.Remove(b.path); err != nil {
			t.Error(err)
		}
	})
	sh(t, "ip link add "+name+" type veth peer name far netns "+nsID(t, b))
	nodad := ""
	if strings.Contains(here, ":") {
		nodad = " nodad"
	}
	sh(t, "ip addr add "+here+" dev "+name+nodad+"; ip link set "+name+" up")
	within(t, b, "ip link set far up; ip addr add "+there+" dev far"+nodad)
	sh(t, "ip link show dev "+name) // settles the carrier (see rtnl.Settle)
	within(t, b, "ip link show dev far")
	return b
}

// nsID pins the namespace by a process for ip(8), which wants a pid or a name.
func nsID(t testing.TB, b *Sandbox) string {
	t.Helper()
	cmd := exec.Command("nsenter", "--net="+b.path, "sh", "-c", "echo; exec cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var b1 [1]byte
	if _, err := io.ReadFull(out, b1[:]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return "/proc/" + itoa(cmd.Process.Pid) + "/ns/net"
}

func TestOutbound(t *testing.T) {
	s := newStack(t, "aaaab1")
	mustApply(t, s, Spec{Name: "open"})
	mustApply(t, s, Spec{Name: "closed", Internal: true})
	world := outside(t, "world", "198.51.100.1/24", "198.51.100.2/24")
	serve(t, world, ":80")
	a, _ := container(t, s, 1, "open")
	if err := talks(a, "198.51.100.2:80"); err != nil {
		t.Errorf("outbound: %v\n%s", err, sh(t, "nft list ruleset; sysctl net.ipv4.ip_forward"))
	}
	b, _ := container(t, s, 2, "closed")
	if err := talks(b, "198.51.100.2:80"); err == nil {
		t.Error("an internal network reaches outside")
	}
	within(t, b, "ip route add default via "+mustLookup(t, s, "closed").Gateway().String())
	if err := talks(b, "198.51.100.2:80"); err == nil {
		t.Error("an internal network with a route of its own making reaches outside")
	}
}

func mustLookup(t testing.TB, s *Stack, name string) Network {
	t.Helper()
	n, ok := s.Lookup(name)
	if !ok {
		t.Fatalf("no network %s", name)
	}
	return n
}

func TestNetworksAreIsolated(t *testing.T) {
	s := newStack(t, "aaaab2")
	other := newStack(t, "aaaab3")
	mustApply(t, s, Spec{Name: "one"})
	mustApply(t, s, Spec{Name: "two"})
	mustApply(t, s, Spec{Name: "deaf", Options: map[string]string{optionICC: "false"}})
	mustApply(t, other, Spec{Name: "one"})
	a, _ := container(t, s, 1, "one")
	for i, target := range []struct {
		s   *Stack
		net string
	}{{s, "two"}, {other, "one"}} {
		b, ends := container(t, target.s, 2+i, target.net)
		serve(t, b, ":80")
		if err := talks(a, ends[0].IPv4.Addr().String()+":80"); err == nil {
			t.Errorf("reaches network %s of engine %s", target.net, target.s.cfg.Tag)
		}
	}
	world := outside(t, "world", "198.51.100.1/24", "198.51.100.2/24")
	within(t, world, "ip route add default via 198.51.100.1")
	c, ends := container(t, s, 5, "one")
	serve(t, c, ":80")
	if err := talks(world, ends[0].IPv4.Addr().String()+":80"); err == nil {
		t.Error("a port that is not published is reached from outside")
	}
	if err := talks(a, ends[0].IPv4.Addr().String()+":80"); err != nil {
		t.Errorf("same network: %v", err)
	}
}

// A container must not reach what listens on the host's loopback (CVE-2020-8558).
func TestHostLoopbackIsClosed(t *testing.T) {
	s := newStack(t, "aaaab4")
	mustApply(t, s, Spec{Name: "one"})
	a, ends := container(t, s, 1, "one")
	l, err := net.Listen("tcp", "127.0.0.1:8099")
	if err != nil {
		t.Fatal(err)
	}
	nettest.Echo(t, l)
	within(t, a, "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via "+ends[0].Gateway.String()+"; sysctl -qw net.ipv4.conf.all.route_localnet=1; ip route flush table local 127.0.0.0/8 || true")
	if err := talks(a, "127.0.0.1:8099"); err == nil {
		t.Error("the host's loopback is open to containers")
	}
}

func TestBesideDocker(t *testing.T) {
	sh(t, `nft -f - <<END
table ip filter {
	chain DOCKER-USER { }
	chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; }
}
END`)
	t.Cleanup(func() { sh(t, "nft delete table ip filter") })
	before := sh(t, "nft list table ip filter")
	t.Run("with", func(t *testing.T) {
		s := newStack(t, "aaaab5")
		mustApply(t, s, Spec{Name: "open"})
		world := outside(t, "world", "198.51.100.1/24", "198.51.100.2/24")
		serve(t, world, ":80")
		a, _ := container(t, s, 1, "open")
		if err := talks(a, "198.51.100.2:80"); err != nil {
			t.Errorf("outbound: %v\n%s", err, sh(t, "nft list ruleset"))
		}
		// Somebody rewrites the firewall; the next Apply mends it.
		sh(t, "nft flush ruleset; nft -f - <<END\n"+before+"END")
		mustApply(t, s, Spec{Name: "open"})
		if err := talks(a, "198.51.100.2:80"); err != nil {
			t.Errorf("after a flush: %v\n%s", err, sh(t, "nft list ruleset"))
		}
		mustApply(t, s, Spec{Name: "open"})
		if n := strings.Count(sh(t, "nft list table ip filter"), "dsaaaab5b"); n != 2 {
			t.Errorf("%d rules in Docker's table, want 2:\n%s", n, sh(t, "nft list table ip filter"))
		}
	})
	if after := sh(t, "nft list table ip filter"); after != before {
		t.Errorf("the table of another was left changed:\n%s\nwas:\n%s", after, before)
	}
}

func TestPublishedOutside(t *testing.T) {
	s := newStack(t, "aaaab6")
	mustApply(t, s, Spec{Name: "open"})
	world := outside(t, "world", "198.51.100.1/24", "198.51.100.2/24")
	a, ends := container(t, s, 1, "open")
	b, _ := container(t, s, 2, "open")
	serve(t, a, ":80")
	p := publishPort(t, s, PublishSpec{Key: "shop/web/80", HostIP: netip.IPv4Unspecified()})
	s.SetBackends("shop/web/80", []netip.AddrPort{netip.AddrPortFrom(ends[0].IPv4.Addr(), 80)})
	port := itoa(int(p.HostPort))
	for _, way := range []string{"proxy", "fast path"} {
		if err := talks(world, "198.51.100.1:"+port); err != nil {
			t.Errorf("from outside by the %s: %v", way, err)
		}
	}
	if err := talks(world, "127.0.0.1:"+port); err == nil {
		t.Error("the other machine's own loopback leads here")
	}
	for name, box := range map[string]*Sandbox{"itself": a, "a neighbour": b} {
		if err := talks(box, ends[0].Gateway.String()+":"+port); err != nil {
			t.Errorf("by the host's address from %s: %v", name, err)
		}
	}
	for _, addr := range []string{"127.0.0.1", "198.51.100.1"} {
		if err := reach(addr + ":" + port); err != nil {
			t.Errorf("from the host at %s: %v", addr, err)
		}
	}
}

func TestRoundRobinOverBackends(t *testing.T) {
	s := newStack(t, "aaaab7")
	mustApply(t, s, Spec{Name: "open"})
	p := publishPort(t, s, PublishSpec{Key: "shop/web/80", HostIP: netip.MustParseAddr("127.0.0.1")})
	var to []netip.AddrPort
	for i := range 3 {
		b, ends := container(t, s, 1+i, "open")
		var l net.Listener
		inside(t, b, func() (err error) {
			l, err = net.Listen("tcp", ":80")
			return err
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Write([]byte{byte('a' + i)})
				c.Close()
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		to = append(to, netip.AddrPortFrom(ends[0].IPv4.Addr(), 80))
	}
	s.SetBackends("shop/web/80", to)
	seen := map[string]int{}
	for range 12 {
		c, err := net.Dial("tcp", at(p))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		who, err := io.ReadAll(c)
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		seen[string(who)]++
	}
	if seen["a"] != 4 || seen["b"] != 4 || seen["c"] != 4 {
		t.Errorf("connections by backend: %v, want 4 each", seen)
	}
}

func TestUDPPort(t *testing.T) {
	s := newStack(t, "aaaab8")
	mustApply(t, s, Spec{Name: "open"})
	for i, host := range []string{"127.0.0.1", "::1", "0.0.0.0"} {
		box, ends := container(t, s, i, "open")
		var l net.PacketConn
		inside(t, box, func() (err error) {
			l, err = net.ListenPacket("udp", ":53")
			return err
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 100)
			for {
				n, from, err := l.ReadFrom(buf)
				if err != nil {
					return
				}
				l.WriteTo(buf[:n], from)
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		key := "shop/dns/53/udp/" + host
		p := publishPort(t, s, PublishSpec{Key: key, HostIP: netip.MustParseAddr(host), Proto: "udp"})
		target := strings.Replace(at(p), "0.0.0.0", "127.0.0.1", 1)
		c, err := net.Dial("udp", target)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// Said before there is a backend, answered when there is.
		if _, err := io.WriteString(c, "early"); err != nil {
			t.Fatal(err)
		}
		for s.ports.Queued(key) == 0 {
			pause()
		}
		s.SetBackends(key, []netip.AddrPort{netip.AddrPortFrom(ends[0].IPv4.Addr(), 53)})
		buf := make([]byte, 100)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		n, err := c.Read(buf)
		if err != nil || string(buf[:n]) != "early" {
			t.Errorf("%s: %q, %v", host, buf[:n], err)
		}
		d, err := net.Dial("udp", target)
		if err != nil {
			t.Fatal(err)
		}
		if err := nettest.Roundtrip(d); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		d.Close()
	}
}

func TestPortTaken(t *testing.T) {
	s := newStack(t, "aaaab9")
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	lo := netip.MustParseAddr("127.0.0.1")
	_, err = s.Publish(t.Context(), PublishSpec{Key: "a/web/80", HostIP: lo, HostPort: port})
	taken, ok := err.(*ErrPortTaken)
	if !ok || taken.PID != os.Getpid() || taken.Command == "" {
		t.Fatalf("%#v", err)
	}
	t.Log(err)
	p := publishPort(t, s, PublishSpec{Key: "a/web/80", HostIP: lo, HostPort: port, HostPortEnd: port + 5})
	if p.HostPort == port {
		t.Errorf("range gave the taken port %d", port)
	}
	_, err = s.Publish(t.Context(), PublishSpec{Key: "b/web/80", HostIP: lo, HostPort: p.HostPort})
	if taken, ok := err.(*ErrPortTaken); !ok || taken.Project != "a" {
		t.Fatalf("%v", err)
	}
	t.Log(err)
}

func TestIPv6(t *testing.T) {
	s := newStack(t, "aaaaba")
	mustApply(t, s, Spec{Name: "six", IPv6: true})
	world := outside(t, "world", "2001:db8:9::1/64", "2001:db8:9::2/64")
	serve(t, world, ":80")
	a, ends := container(t, s, 1, "six")
	b, _ := container(t, s, 2, "six")
	serve(t, a, ":80")
	if err := talks(b, "["+ends[0].IPv6.Addr().String()+"]:80"); err != nil {
		t.Errorf("%v\n%s", err, within(t, b, "ip -6 a; ip -6 r"))
	}
	if err := talks(b, "[2001:db8:9::2]:80"); err != nil {
		t.Errorf("outbound: %v\n%s%s", err, within(t, b, "ip -6 a; ip -6 r"), sh(t, "sysctl net.ipv6.conf.all.forwarding; ip -6 r; ip -6 a; nft list ruleset"))
	}
	p := publishPort(t, s, PublishSpec{Key: "shop/web/80", HostIP: netip.IPv6Loopback()})
	s.SetBackends("shop/web/80", []netip.AddrPort{netip.AddrPortFrom(ends[0].IPv6.Addr(), 80)})
	if err := reach(at(p)); err != nil {
		t.Error(err)
	}
}

// The firewall as Docker's own tool makes it, in both of its kinds.
func TestBesideIptables(t *testing.T) {
	for _, tool := range []string{"iptables-nft", "iptables-legacy"} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skip("iptables is not installed")
			}
			sh(t, tool+" -P FORWARD DROP; "+tool+" -N DOCKER-USER; "+tool+" -A FORWARD -j DOCKER-USER; "+
				tool+" -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; "+
				tool+" -A FORWARD ! -i docker0 -o docker0 -m comment --comment hi -j DROP")
			before := sh(t, tool+" -S")
			t.Cleanup(func() { sh(t, tool+" -P FORWARD ACCEPT; "+tool+" -F; "+tool+" -X") })
			t.Cleanup(func() {
				if after := sh(t, tool+" -S"); after != before {
					t.Errorf("rules of another are left changed:\n%s\nwere:\n%s", after, before)
				}
			})
			s := newStack(t, "aaaabb")
			mustApply(t, s, Spec{Name: "open"})
			mustApply(t, s, Spec{Name: "open"})
			world := outside(t, "world", "198.51.100.1/24", "198.51.100.2/24")
			serve(t, world, ":80")
			a, _ := container(t, s, 1, "open")
			if err := talks(a, "198.51.100.2:80"); err != nil {
				t.Errorf("outbound: %v\n%s", err, sh(t, tool+" -S; nft list ruleset"))
			}
			if n := strings.Count(sh(t, tool+" -S"), "dsaaaabbb"); n != 2 {
				t.Errorf("%d rules of ours, want 2:\n%s", n, sh(t, tool+" -S"))
			}
		})
	}
}
