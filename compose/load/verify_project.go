package load

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"devstack/compose"
	"devstack/compose/graph"
)

// resources checks the top-level networks, volumes, configs and secrets.
func (v *verifier) resources() {
	for _, key := range keysOf(v.p.Volumes) {
		vol := v.p.Volumes[key]
		if !vol.External && vol.Name != "" && !validContainerName(vol.Name) {
			v.ld.faultAt(v.p, fmt.Sprintf("volume name %q is not usable", vol.Name), "it begins with a letter or digit; letters, digits, _ . - follow", "volumes", key, "name")
		}
		if vol.External {
			for _, other := range []struct {
				name string
				set  bool
			}{{"driver", vol.Driver != ""}, {"driver_opts", vol.DriverOpts != nil}, {"labels", vol.Labels != nil}} {
				if other.set {
					v.ld.faultAt(v.p, fmt.Sprintf("volumes.%s: conflicting parameters external and %s", key, other.name), "an external volume is used as it is", "volumes", key, other.name)
				}
			}
		}
	}
	for _, key := range keysOf(v.p.Networks) {
		if n := v.p.Networks[key]; !n.External && n.Name != "" && (n.Name[0] == '.' || strings.Contains(n.Name, "/") || len(n.Name) > 200) {
			v.ld.faultAt(v.p, fmt.Sprintf("network name %q is not usable", n.Name), "it has no / and no . at its beginning", "networks", key, "name")
		}
		v.subnets(key, v.p.Networks[key])
	}
	used := map[string]bool{}
	for _, s := range v.p.Services {
		for _, c := range s.Configs {
			used["configs."+c.Source] = true
		}
		for _, c := range s.Secrets {
			used["secrets."+c.Source] = true
		}
	}
	for _, key := range keysOf(v.p.Configs) {
		v.fileObject("configs", key, v.p.Configs[key], used["configs."+key])
	}
	for _, key := range keysOf(v.p.Secrets) {
		v.fileObject("secrets", key, v.p.Secrets[key], used["secrets."+key])
	}
}

// subnets checks that addresses are addresses.
func (v *verifier) subnets(key string, n compose.Network) {
	for i, pool := range n.IPAM.Config {
		fault := func(word, value, why string) {
			keys := append([]string{"networks", key, "ipam", "config", strconv.Itoa(i)}, strings.Split(word, ".")...)
			v.ld.faultAt(v.p, fmt.Sprintf("networks.%s: %s %s %s", key, word, quote(value), why), "", keys...)
		}
		var subnet netip.Prefix
		for _, f := range [2][2]string{{"subnet", pool.Subnet}, {"ip_range", pool.IPRange}} {
			if f[1] == "" {
				continue
			}
			prefix, err := netip.ParsePrefix(f[1])
			if err != nil {
				fault(f[0], f[1], "is not a subnet in CIDR form, as 10.5.0.0/24")
			}
			if f[0] == "subnet" {
				subnet = prefix
			} else if err == nil && subnet.IsValid() && (!subnet.Contains(prefix.Addr()) || prefix.Bits() < subnet.Bits()) {
				fault(f[0], f[1], "is not in the subnet "+pool.Subnet)
			}
		}
		for _, name := range keysOf(pool.AuxAddresses) {
			addr, err := netip.ParseAddr(pool.AuxAddresses[name])
			switch {
			case err != nil:
				fault("aux_addresses."+name, pool.AuxAddresses[name], "is not an IP address")
			case subnet.IsValid() && !subnet.Contains(addr):
				fault("aux_addresses."+name, pool.AuxAddresses[name], "is not in the subnet "+pool.Subnet)
			}
		}
		if pool.Gateway != "" {
			gw, err := netip.ParseAddr(pool.Gateway)
			switch {
			case err != nil:
				fault("gateway", pool.Gateway, "is not an IP address")
			case subnet.IsValid() && !subnet.Contains(gw):
				fault("gateway", pool.Gateway, "is not in the subnet "+pool.Subnet)
			}
		}
	}
}

// fileObject checks that a config or secret has one source, and that it is
// there when something uses it.
func (v *verifier) fileObject(section, key string, f compose.FileObject, used bool) {
	kind := strings.TrimSuffix(section, "s")
	var sources []string
	if f.File != "" {
		sources = append(sources, "file")
	}
	if f.Environment != "" {
		sources = append(sources, "environment")
	} else if f.Content != "" || v.p.Positions[compose.Path(section, key, "content")].IsValid() {
		sources = append(sources, "content")
	}
	switch {
	case f.External || f.Driver != "":
		return
	case len(sources) == 0:
		v.ld.faultAt(v.p, fmt.Sprintf("%s %q has no source", kind, key), "set one of file, environment or content, or external: true", section, key)
	case len(sources) > 1:
		v.ld.faultAt(v.p, fmt.Sprintf("%s %q has several sources: %s", kind, key, strings.Join(sources, ", ")), "keep one", section, key, sources[1])
	case !used:
	case sources[0] == "file":
		if _, err := os.Stat(f.File); err != nil {
			v.ld.atStart(v.p, fmt.Sprintf("%s %q: file %s cannot be read", kind, key, showName(v.ld.cwd, f.File)), "", section, key, "file")
		}
	case sources[0] == "environment":
		if _, ok := v.ld.lookup(f.Environment); !ok {
			v.ld.atStart(v.p, fmt.Sprintf("%s %q: environment variable %s is not set", kind, key, f.Environment), "set it in the environment or in .env", section, key, "environment")
		}
	}
}

// together are the services that may run at once: those named on the command
// line with what they need, else all.
func (v *verifier) together() []string {
	if len(v.ld.opts.Services) == 0 {
		return v.p.ServiceNames()
	}
	g, err := graph.New(v.p)
	if err != nil {
		return v.p.ServiceNames()
	}
	return g.Closure(v.ld.opts.Services)
}

// names checks that no two services want the same container name.
func (v *verifier) names() {
	owner := map[string]string{}
	for _, name := range v.together() {
		c := v.p.Services[name].ContainerName
		if c == "" {
			continue
		}
		if other, ok := owner[c]; ok {
			v.ld.outside(v.p, fmt.Sprintf("container name %q is used by the services %s and %s", c, other, name), "", "services", name, "container_name")
			continue
		}
		owner[c] = name
	}
}

// publishedPorts checks that no two services want the same port of the host.
func (v *verifier) publishedPorts() {
	type claim struct {
		ip      string
		service string
		pos     compose.Pos
	}
	claims := map[string][]claim{}
	for _, name := range v.together() {
		s := v.p.Services[name]
		if s.NetworkMode == "host" {
			continue
		}
		for i, port := range s.Ports {
			if _, err := strconv.Atoi(port.Published); err != nil || port.Published == "0" {
				continue // an ephemeral one, or a choice
			}
			key := port.Published + "/" + port.Protocol
			mine := claim{port.HostIP, name, v.p.Pos("services", name, "ports", strconv.Itoa(i))}
			for _, other := range claims[key] {
				if other.ip == mine.ip || wildcard(other.ip) || wildcard(mine.ip) {
					message := fmt.Sprintf("port %s is published by the services %s and %s", key, other.service, name)
					if other.service == name {
						message = fmt.Sprintf("port %s is published twice by service %s", key, name)
					}
					hint := "the other one is at " + other.pos.String()
					if other.service == name && other.pos.File != mine.pos.File {
						hint += "; lists are appended: write ports: !override to replace it"
					}
					v.ld.atStart(v.p, message, hint, "services", name, "ports", strconv.Itoa(i))
					break
				}
			}
			claims[key] = append(claims[key], mine)
		}
	}
}

// wildcard reports an address that stands for all of the host's.
func wildcard(ip string) bool { return ip == "0.0.0.0" || ip == "::" }
