package load

import (
	"slices"
	"strings"

	"devstack/compose"
)

// remark is what is said of a key that is accepted and has no effect.
type remark struct{ key, message, hint string }

const (
	ofCluster = "has no meaning in a local engine and is ignored"
	ofWindows = "is for Windows containers and has no effect on Linux"
	notYet    = "is not carried out yet and has no effect"
)

// remarks is the one list of what the specification knows and the engine does
// not carry out, each a path below a service.
func remarks() []remark {
	return []remark{
		{"annotations", "have no reader here: devstack runs the containers itself", "use labels"},
		{"build.isolation", ofWindows, ""},
		{"cpu_count", ofWindows, "use cpus"},
		{"cpu_percent", ofWindows, "use cpus"},
		{"credential_spec", ofWindows, ""},
		{"deploy.endpoint_mode", ofCluster, ""},
		{"deploy.placement", ofCluster, ""},
		{"deploy.resources.reservations.generic_resources", ofCluster, ""},
		{"deploy.rollback_config", ofCluster, ""},
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
	if pos, ok := p.Positions["jobs"]; ok {
		ld.findingPos(pos, SeverityWarning, "jobs "+strings.Replace(notYet, "is", "are", 1), "")
	}
}

// meaningless reports values that ask for nothing special.
func meaningless(s compose.Service, key string) bool {
	switch key {
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
