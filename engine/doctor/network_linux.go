package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// links makes a bridge and a veth pair in a network namespace of its own.
func links() (string, error) {
	return "", apart(unix.CLONE_NEWNET, func() error {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "probe0"}}); err != nil {
			return fmt.Errorf("add bridge: %w", err)
		}
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "probe1"}, PeerName: "probe2"}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("add veth: %w", err)
		}
		return nil
	})
}

// nat makes a table with a masquerading rule in a network namespace of its
// own.
func nat() (string, error) {
	return "", apart(unix.CLONE_NEWNET, func() error {
		ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			return fmt.Errorf("%w: %w", errUnsure, err)
		}
		defer ns.Close()
		c, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
		if err != nil {
			return fmt.Errorf("open nftables: %w", err)
		}
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "probe"})
		chain := c.AddChain(&nftables.Chain{
			Name: "out", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
		})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Masq{}}})
		if err := c.Flush(); err != nil {
			return fmt.Errorf("add a masquerading rule: %w", err)
		}
		return nil
	})
}

// forwarding is switched on by the engine where it may.
func forwarding() (string, error) {
	const knob = "/proc/sys/net/ipv4/ip_forward"
	data, err := os.ReadFile(knob)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnsure, err)
	}
	if strings.TrimSpace(string(data)) == "1" {
		return "on", nil
	}
	if unix.Access(knob, unix.W_OK) == nil && os.Getuid() == 0 {
		return "off; the engine switches it on", nil
	}
	return "off", errors.New("containers cannot reach other hosts")
}
