package load

import (
	"devstack/compose"
)

// pendingKeys is the one list of what the specification knows and the engine
// does not carry out yet. Each entry is a path below a service; it shrinks as
// the engine learns.
func pendingKeys() []string {
	return []string{
		"blkio_config",
		"cpu_count",
		"cpu_percent",
		"credential_spec",
		"deploy.endpoint_mode",
		"deploy.placement",
		"deploy.resources.reservations.devices",
		"deploy.resources.reservations.generic_resources",
		"deploy.rollback_config",
		"develop",
		"external_links",
		"gpus",
		"isolation",
		"models",
		"post_start",
		"pre_start",
		"pre_stop",
		"provider",
		"pull_refresh_after",
		"storage_opt",
		"use_api_socket",
	}
}

// pending warns of keys that have no effect yet, where they are set.
func (ld *loader) pending(p *compose.Project) {
	for _, name := range p.ServiceNames() {
		for _, key := range pendingKeys() {
			if pos, ok := p.Positions[compose.Path("services", name, key)]; ok {
				ld.findingPos(pos, SeverityWarning, "services."+name+"."+key+" is not carried out yet and has no effect", "")
			}
		}
	}
	if pos, ok := p.Positions["jobs"]; ok {
		ld.findingPos(pos, SeverityWarning, "jobs are not carried out yet and have no effect", "")
	}
	if pos, ok := p.Positions["models"]; ok {
		ld.findingPos(pos, SeverityWarning, "models are not carried out yet and have no effect", "")
	}
}
