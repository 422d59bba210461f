package network

import (
	"net/netip"
	"os"

	"devstack/network/ipam"
	"devstack/network/publish"
)

// Config says where a Stack keeps its state and how its objects are named.
type Config struct {
	DataRoot string              // required: what outlives a reboot: subnets, sticky addresses
	RunRoot  string              // required: netns/, sandbox records
	Tag      string              // required: six hex digits
	Keep     Keeper              // keeps sockets over the engine's death; may be nil
	Restored map[string]*os.File // what Keep held for the previous engine
}

// Keeper holds duplicates of descriptors outside this process.
type Keeper interface {
	Keep(name string, f *os.File) error
	Drop(name string) error
	Sync() // returns when what was dropped is closed
}

// Spec is a network as declared.
type Spec struct {
	Name     string            `json:"name"` // the real, unique name: "shop_default"
	Project  string            `json:"project,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Options  map[string]string `json:"options,omitempty"` // driver_opts
	Driver   string            `json:"driver,omitempty"`  // "" and "bridge"
	Internal bool              `json:"internal,omitempty"`
	IPv6     bool              `json:"ipv6,omitempty"`
	NoIPv4   bool              `json:"noIPv4,omitempty"` // with IPv6: nothing else
	Pools    []Pool            `json:"pools,omitempty"`  // default: a free /24
}

// Pool is a subnet of a Spec.
type Pool = ipam.Pool

// Network is a network that exists.
type Network struct {
	Spec
	Bridge string
	Index  int // of the bridge
	MTU    int
	Pools  []Pool // with subnets and gateways chosen
}

// Subnets returns the network's subnets, IPv4 first.
func (n Network) Subnets() []netip.Prefix {
	out := make([]netip.Prefix, 0, len(n.Pools))
	for _, p := range n.Pools {
		out = append(out, p.Subnet)
	}
	return out
}

// Gateway returns the bridge's IPv4 address, or its IPv6 address where there
// is no other.
func (n Network) Gateway() netip.Addr {
	var gw netip.Addr
	for _, p := range n.Pools {
		if !gw.IsValid() || gw.Is6() && p.Gateway.Is4() {
			gw = p.Gateway
		}
	}
	return gw
}

// SandboxConfig is how a container resolves names.
type SandboxConfig struct {
	Nameservers []netip.Addr            // dns: asked instead of the host's
	Search      []string                // dns_search
	Options     []string                // dns_opt
	ExtraHosts  map[string][]netip.Addr // answered for this container alone; an address that is not Valid means the host
	NoDNS       bool                    // network_mode none: nobody listens at 127.0.0.11
}

// EndpointSpec is a container's place on a network.
type EndpointSpec struct {
	Network    string
	Key        string     // sticky address: "project/service/number"
	IPv4, IPv6 netip.Addr // static addresses, optional
	MAC        string     // optional; default: derived from the address
	IfName     string     // optional; default: eth0, eth1 ...
	Aliases    []string   // carried for the record; names are set by SetNames
	GWPriority int        // highest provides the default route
	Priority   int        // order in which names are looked up, highest first

	LinkLocal []netip.Addr      // further addresses of the interface
	Sysctls   map[string]string // of the interface: net.ipv4.conf.IFNAME.x
}

// Endpoint is a place taken.
type Endpoint struct {
	Network string
	IPv4    netip.Prefix // zero where the network has none
	IPv6    netip.Prefix
	Gateway netip.Addr // of the network, whether or not it is this container's default route
	MAC     string
	IfName  string
}

// PublishSpec is a port to publish.
type PublishSpec = publish.Spec

// Published is where a port was published.
type Published = publish.Published

// ErrPortTaken says who has a port.
type ErrPortTaken = publish.TakenError
