package supervise

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"devstack/compose"
)

// Labels are the image's, the service's, and those by which Compose's tools
// find containers.
func (u *Unit) Labels() map[string]string {
	rec := u.Record()
	_, meta := u.p.Declared()
	out := map[string]string{}
	maps.Copy(out, rec.Image.Config.Labels)
	maps.Copy(out, rec.Declared.Labels)
	maps.Copy(out, map[string]string{
		"com.docker.compose.project":              rec.Project,
		"com.docker.compose.service":              rec.Service,
		"com.docker.compose.container-number":     strconv.Itoa(rec.Number),
		"com.docker.compose.oneoff":               map[bool]string{true: "True", false: "False"}[rec.OneOff],
		"com.docker.compose.config-hash":          rec.ConfigHash,
		"com.docker.compose.image":                string(rec.Image.ID),
		"com.docker.compose.project.working_dir":  meta.WorkingDir,
		"com.docker.compose.project.config_files": strings.Join(meta.ConfigFiles, ","),
		"com.docker.compose.depends_on":           dependsLabel(&rec.Declared),
	})
	return out
}

// dependsLabel is Compose's text form of depends_on: name:condition:restart.
func dependsLabel(s *compose.Service) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		d := s.DependsOn[name]
		parts = append(parts, name+":"+d.Condition+":"+strconv.FormatBool(d.Restart))
	}
	return strings.Join(parts, ",")
}

// MountSources are what the container mounts, as Docker lists it: the real
// names of volumes, the paths of binds.
func (u *Unit) MountSources() []string {
	rec := u.Record()
	declared, _ := u.p.Declared()
	var out []string
	for _, m := range rec.Declared.Volumes {
		switch {
		case m.Type == compose.MountBind:
			out = append(out, m.Source)
		case m.Type == compose.MountVolume && m.Source != "":
			out = append(out, declared.Volumes[m.Source].Name)
		}
	}
	out = slices.AppendSeq(out, maps.Values(rec.Anonymous))
	slices.Sort(out)
	return out
}
