package rtnl

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenModeNone = 1

// AddAddr puts an address on the interface with index.
func AddAddr(index int, p netip.Prefix) Op {
	family, raw := bytesOf(p.Addr())
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	m := nl.NewIfAddrmsg(family)
	m.Prefixlen, m.Index = uint8(p.Bits()), uint32(index)
	if family == unix.AF_INET6 {
		m.IfAddrmsg.Flags = unix.IFA_F_NODAD // the address is ours by decision: nothing to detect, no second to wait
	}
	req.AddData(m)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, raw))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, raw))
	if family == unix.AF_INET && p.Bits() < 31 {
		req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(p)))
	}
	return Op{Name: fmt.Sprintf("add address %s", p), req: req}
}

// DefaultRoute sends everything else through gw on the interface with index.
// A lower metric wins.
func DefaultRoute(index int, gw netip.Addr, metric uint32) Op {
	return route(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, index, gw, metric)
}

// DropDefaultRoute takes back DefaultRoute.
func DropDefaultRoute(index int, gw netip.Addr, metric uint32) Op {
	return route(unix.RTM_DELROUTE, 0, index, gw, metric)
}

func route(kind, flags, index int, gw netip.Addr, metric uint32) Op {
	family, raw := bytesOf(gw)
	req := nl.NewNetlinkRequest(kind, flags)
	m := nl.NewRtMsg()
	m.Family = uint8(family)
	req.AddData(m)
	req.AddData(nl.NewRtAttr(unix.RTA_GATEWAY, raw))
	req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	req.AddData(nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(metric)))
	return Op{Name: fmt.Sprintf("route default via %s", gw), req: req}
}

// Link is an interface to change, by index or else by name.
type Link struct {
	Index int
	Name  string
}

// SetUp brings an interface up.
func SetUp(l Link) Op {
	return Op{Name: "bring up " + l.String(), req: setLink(l, unix.IFF_UP)}
}

// SetPort brings the near end of a pair up without an IPv6 address of its own:
// a port of a bridge speaks to nobody, and the address would cost multicast
// joins and duplicate detection.
func SetPort(l Link) Op {
	req := setLink(l, unix.IFF_UP)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	spec.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(unix.IFLA_INET6_ADDR_GEN_MODE, nl.Uint8Attr(addrGenModeNone))
	req.AddData(spec)
	return Op{Name: "bring up " + l.String(), req: req}
}

// SetGroup puts an interface into a device group.
func SetGroup(l Link, group uint32) Op {
	req := setLink(l, 0)
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	return Op{Name: "set group of " + l.String(), req: req}
}

// Delete deletes an interface.
func Delete(l Link) Op {
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, 0)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(l.Index)
	req.AddData(m)
	if l.Index == 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(l.Name)))
	}
	return Op{Name: "delete interface " + l.String(), req: req}.Accept(unix.ENODEV)
}

// DeleteGroup deletes all interfaces of a group at once: the kernel waits for
// its readers (RCU) once instead of once for each.
func DeleteGroup(group uint32) Op {
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, 0)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	return Op{Name: "delete interfaces", req: req}.Accept(unix.ENODEV)
}

func setLink(l Link, up uint32) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, 0)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index, m.Flags, m.Change = int32(l.Index), up, up
	req.AddData(m)
	if l.Index == 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(l.Name)))
	}
	return req
}

func (l Link) String() string {
	if l.Name != "" {
		return l.Name
	}
	return fmt.Sprintf("#%d", l.Index)
}

// Bridge describes a bridge to make.
type Bridge struct {
	Name string
	MAC  []byte
	MTU  int
}

// AddBridge makes a bridge, up, without spanning tree and multicast snooping:
// there are no loops and no routers to listen for.
func AddBridge(b Bridge) Op {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Flags, m.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(m)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(b.Name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, b.MAC))
	if b.MTU > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(b.MTU))))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_FORWARD_DELAY, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_MCAST_SNOOPING, nl.Uint8Attr(0))
	req.AddData(info)
	return Op{Name: "make bridge " + b.Name, req: req}
}

// Veth describes a pair: one end a port of a bridge here, the other inside a
// namespace under its final name and index.
type Veth struct {
	Host      string // name of the end here
	Master    int    // index of the bridge
	MTU       int
	Namespace int // descriptor of the other end's namespace
	Name      string
	MAC       []byte
}

// AddVeth makes a pair in one request: this end a port of the bridge, the other
// in its namespace. Both are down: the far end cannot be brought up before the
// pair is complete (veth_open answers ENOTCONN), the near one wants SetPort.
func AddVeth(v Veth) Op {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.Host)))
	req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(v.Master))))
	// One queue: a development service needs no more, and each costs memory.
	req.AddData(nl.NewRtAttr(unix.IFLA_NUM_TX_QUEUES, nl.Uint32Attr(1)))
	req.AddData(nl.NewRtAttr(unix.IFLA_NUM_RX_QUEUES, nl.Uint32Attr(1)))
	if v.MTU > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(v.MTU))))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	pm := nl.NewIfInfomsg(unix.AF_UNSPEC)
	peer.AddChild(pm)
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.Name))
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(v.Namespace)))
	peer.AddRtAttr(unix.IFLA_NUM_TX_QUEUES, nl.Uint32Attr(1))
	peer.AddRtAttr(unix.IFLA_NUM_RX_QUEUES, nl.Uint32Attr(1))
	if v.MTU > 0 {
		peer.AddRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(v.MTU)))
	}
	if len(v.MAC) > 0 {
		peer.AddRtAttr(unix.IFLA_ADDRESS, v.MAC)
	}
	req.AddData(info)
	return Op{Name: "make interface " + v.Name, req: req}
}

func bytesOf(a netip.Addr) (family int, raw []byte) {
	if a.Is4() {
		return unix.AF_INET, a.AsSlice()
	}
	return unix.AF_INET6, a.AsSlice()
}

func broadcast(p netip.Prefix) []byte {
	b := p.Masked().Addr().As4()
	v := binary.BigEndian.Uint32(b[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(b[:], v)
	return b[:]
}
