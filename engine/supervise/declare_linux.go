package supervise

import (
	"fmt"
	"maps"
	"net/netip"

	"devstack/compose"
	"devstack/engine/plan"
	"devstack/network"
)

// hashLabel marks a network with the hash of its declaration.
const hashLabel = "com.docker.compose.config-hash"

// objectLabels are the labels that Compose gives to what a project owns.
func objectLabels(own map[string]string, project, kind, key string) map[string]string {
	out := map[string]string{
		"com.docker.compose.project": project,
		"com.docker.compose." + kind: key,
	}
	maps.Copy(out, own)
	return out
}

// NetworkSpec is a declared network as the network package wants it.
func NetworkSpec(project string, n compose.Network, key string) (network.Spec, error) {
	spec := network.Spec{
		Name: n.Name, Project: project, Options: n.DriverOpts, Driver: n.Driver, Internal: n.Internal,
		IPv6:   n.EnableIPv6 != nil && *n.EnableIPv6,
		NoIPv4: n.EnableIPv4 != nil && !*n.EnableIPv4, Labels: objectLabels(n.Labels, project, "network", key),
	}
	spec.Labels[hashLabel] = plan.NetworkHash(n)
	for i, pool := range n.IPAM.Config {
		p, err := poolOf(pool)
		if err != nil {
			return spec, fmt.Errorf("network %s: ipam.config.%d: %w", n.Name, i, err)
		}
		spec.Pools = append(spec.Pools, p)
	}
	return spec, nil
}

func poolOf(p compose.IPAMPool) (network.Pool, error) {
	var out network.Pool
	var err error
	if p.Subnet != "" {
		if out.Subnet, err = netip.ParsePrefix(p.Subnet); err != nil {
			return out, err
		}
	}
	if p.IPRange != "" {
		if out.Range, err = netip.ParsePrefix(p.IPRange); err != nil {
			return out, err
		}
	}
	if p.Gateway != "" {
		if out.Gateway, err = netip.ParseAddr(p.Gateway); err != nil {
			return out, err
		}
	}
	for name, text := range p.AuxAddresses {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return out, fmt.Errorf("aux_addresses.%s: %w", name, err)
		}
		if out.Aux == nil {
			out.Aux = map[string]netip.Addr{}
		}
		out.Aux[name] = addr
	}
	return out, nil
}

// NetworkHashes are the declaration hashes of the networks that exist.
func NetworkHashes(ns []network.Network) map[string]string {
	out := map[string]string{}
	for _, n := range ns {
		out[n.Name] = n.Labels[hashLabel]
	}
	return out
}
