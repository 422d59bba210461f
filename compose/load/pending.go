package load

import (
	"slices"
	"strings"

	"devstack/compose"
)

// remark is what is said of a key that is accepted and has no effect.
type remark struct{ key, message, hint string }

const (
	ofCluster      = "has no meaning in a local engine and is ignored"
	ofWindows      = "is for Windows containers and has no effect on Linux"
	noAttestations = "has no effect: builds make no attestations"
	ofRunner       = "has no effect: models run elsewhere (MODEL_RUNNER_HOST), and are configured there"
	notYet         = "is not carried out yet and has no effect"
)

// remarks is the one list of what the specification knows and the engine does
// not carry out, each a path below a service.
func remarks() []remark {
	return []remark{
		{"annotations", "have no reader here: devstack runs the containers itself", "use labels"},
		{"build.isolation", ofWindows, ""},
		{"build.provenance", noAttestations, ""},
		{"build.sbom", noAttestations, ""},
		{"cpu_count", ofWindows, "use cpus"},
		{"cpu_percent", ofWindows, "use cpus"},
		{"credential_spec", ofWindows, ""},
		{"deploy.endpoint_mode", ofCluster, ""},
		{"deploy.labels", ofCluster, "labels: beside deploy: are those of containers"},
		{"deploy.placement", ofCluster, ""},
		{"deploy.resources.reservations.cpus", ofCluster, "cpu_shares weighs services against each other"},
		{"deploy.resources.reservations.generic_resources", ofCluster, ""},
		{"deploy.rollback_config", ofCluster, ""},
		{"deploy.update_config.delay", ofCluster, ""},
		{"deploy.update_config.failure_action", ofCluster, ""},
		{"deploy.update_config.max_failure_ratio", ofCluster, ""},
		{"deploy.update_config.parallelism", ofCluster, ""},
		{"isolation", ofWindows, ""},
		{"runtime", "is ignored: devstack runs the containers itself", "for devices of a vendor's runtime use gpus or devices"},
		{"use_api_socket", notYet, ""},
		{"userns_mode", "is host always: containers run in the engine's user namespace", ""},
	}
}

// remarkAll warns of keys that have no effect, where they are set.
func (ld *loader) remarkAll(p *compose.Project) {
	for _, name := range p.ServiceNames() {
		for _, r := range remarks() {
			pos, ok := p.Positions[compose.Path("services", name, r.key)]
			if ok && !meaningless(p.Services[name], r.key) {
				ld.findingPos(pos, SeverityWarning, "services."+name+"."+r.key+" "+r.message, r.hint)
			}
		}
		ld.remarkDriver(p, name)
	}
	ld.remarkObjects(p)
	if pos, ok := p.Positions["jobs"]; ok {
		ld.findingPos(pos, SeverityWarning, "jobs are not carried out yet and have no effect", "")
	}
}

// remarkObjects warns of settings of networks, configs and secrets that have no
// effect.
func (ld *loader) remarkObjects(p *compose.Project) {
	remark := func(message string, keys ...string) {
		if pos, ok := p.Positions[compose.Path(keys...)]; ok {
			ld.findingPos(pos, SeverityWarning, strings.Join(keys, ".")+" "+message, "")
		}
	}
	for _, key := range keysOf(p.Networks) {
		n := p.Networks[key]
		if n.EnableIPv4 != nil && !*n.EnableIPv4 && (n.EnableIPv6 == nil || !*n.EnableIPv6) {
			remark("has no effect without enable_ipv6: there would be no addresses", "networks", key, "enable_ipv4")
		}
		if n.IPAM.Driver != "" && n.IPAM.Driver != "default" {
			remark("has no effect: there is one way to give out addresses here", "networks", key, "ipam", "driver")
		}
		remark("has no effect: it is for drivers that are not here", "networks", key, "ipam", "options")
		for _, option := range keysOf(n.DriverOpts) {
			if !slices.Contains(networkOptions(), option) {
				remark("is an option that is not known here, and has no effect", "networks", key, "driver_opts", option)
			}
		}
	}
	for _, name := range p.ServiceNames() {
		for key, n := range p.Services[name].Networks {
			if n == nil {
				continue
			}
			for _, option := range keysOf(n.DriverOpts) {
				if option != compose.EndpointSysctls {
					remark("is an option that is not known here, and has no effect", "services", name, "networks", key, "driver_opts", option)
				}
			}
		}
	}
	for _, key := range keysOf(p.Models) {
		remark(ofRunner, "models", key, "context_size")
		remark(ofRunner, "models", key, "runtime_flags")
	}
	for section, objects := range map[string]map[string]compose.FileObject{"configs": p.Configs, "secrets": p.Secrets} {
		for key := range objects {
			remark("has no effect: templates are not filled in here", section, key, "template_driver")
		}
	}
}

// networkOptions are the options of bridges that are carried out, by Docker's
// names, as package network has them.
func networkOptions() []string {
	return []string{
		"com.docker.network.bridge.enable_icc",
		"com.docker.network.bridge.enable_ip_masquerade",
		"com.docker.network.driver.mtu",
	}
}

// meaningless reports values that ask for nothing special.
func meaningless(s compose.Service, key string) bool {
	switch key {
	case "build.provenance":
		return s.Build.Provenance == "false"
	case "build.sbom":
		return s.Build.SBOM == "false"
	case "isolation":
		return s.Isolation == "default"
	case "runtime": // the usual ones do no other than devstack does
		return slices.Contains([]string{"", "runc", "crun", "io.containerd.runc.v2"}, s.Runtime)
	case "userns_mode":
		return s.UsernsMode == "host" // it is always so
	case "use_api_socket":
		return !s.UseAPISocket
	}
	return false
}

// remarkDriver warns of log drivers that are not here: the output goes to the
// journal instead.
func (ld *loader) remarkDriver(p *compose.Project, name string) {
	l := p.Services[name].Logging
	if l == nil {
		return
	}
	switch l.Driver {
	case "", "json-file", "local":
		return
	}
	ld.findingPos(p.Pos("services", name, "logging", "driver"), SeverityWarning,
		"services."+name+".logging: there is no driver "+quote(l.Driver)+" here; the output is kept as with json-file", "")
}
