package render

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"devstack/engine/api"
)

// Container is one row of `ps`, under the names that Docker's templates and
// JSON use. The fields stand in the order of the JSON.
type Container struct {
	Command      string
	CreatedAt    string
	ExitCode     int
	Health       string
	ID           string
	Image        string
	Labels       string
	LocalVolumes string
	Mounts       string
	Name         string
	Names        string
	Networks     string
	Ports        string
	Project      string
	Publishers   []Publisher
	RunningFor   string
	Service      string
	Size         string
	State        string
	Status       string

	labels map[string]string
}

// Publisher is one published port in the JSON of `ps`.
type Publisher struct {
	URL           string
	TargetPort    uint16
	PublishedPort uint16
	Protocol      string
}

// Label is the value of one label, for templates.
func (c Container) Label(name string) string { return c.labels[name] }

// Row makes the row of c as of now. With trunc ids and commands are cut.
func Row(c api.Container, now time.Time, trunc bool) Container {
	r := Container{
		Command:      strconv.Quote(cut(Clean(commandLine(c.Command)), 20, trunc)),
		CreatedAt:    c.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"),
		ExitCode:     c.ExitCode,
		Health:       c.Health,
		ID:           c.ID,
		Image:        c.Image,
		Labels:       Labels(c.Labels),
		LocalVolumes: strconv.Itoa(volumesIn(c.Mounts)),
		Name:         c.Name,
		Names:        c.Name,
		Ports:        Ports(c.Ports),
		Project:      c.Project,
		RunningFor:   Duration(now.Sub(c.Created)) + " ago",
		Service:      c.Service,
		Size:         "0B",
		State:        c.State,
		Status:       Status(c, now),
		labels:       c.Labels,
	}
	if trunc && len(r.ID) > 12 {
		r.ID = r.ID[:12]
	}
	mounts := make([]string, len(c.Mounts))
	for i, m := range c.Mounts {
		mounts[i] = cut(m, 15, trunc)
	}
	r.Mounts = strings.Join(mounts, ",")
	networks := make([]string, len(c.Networks))
	for i, n := range c.Networks {
		networks[i] = n.Network
	}
	r.Networks = strings.Join(networks, ",")
	for _, p := range SortPorts(c.Ports) {
		r.Publishers = append(r.Publishers, Publisher{p.HostIP, p.ContainerPort, p.HostPort, p.Protocol})
	}
	return r
}

// commandLine is a command as Docker shows it: arguments with spaces are
// quoted, the program's path is not.
func commandLine(words []string) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
			b.WriteString(w)
		case strings.Contains(w, " "):
			b.WriteString(" '" + w + "'")
		default:
			b.WriteString(" " + w)
		}
	}
	return b.String()
}

// volumesIn counts the volumes among mounts; the others are paths.
func volumesIn(mounts []string) (n int) {
	for _, m := range mounts {
		if !strings.HasPrefix(m, "/") {
			n++
		}
	}
	return n
}

func cut(s string, n int, trunc bool) string {
	if !trunc {
		return s
	}
	return Ellipsis(s, n)
}

// Labels are labels as one word, sorted: "a=1,b=2".
func Labels(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, k+"="+labels[k])
	}
	return strings.Join(pairs, ",")
}

// Containers writes rows in a format of `ps --format`: "" or "table", "json"
// (one object a line), or a template.
func Containers(w io.Writer, format string, rows []Container) error {
	cells := make([][]string, len(rows))
	for i, r := range rows {
		cells[i] = []string{r.Name, r.Image, r.Command, r.Service, r.RunningFor, r.Status, r.Ports}
	}
	headers := []string{"NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"}
	return List(w, format, headers, cells, Headers{
		"Command": "COMMAND", "CreatedAt": "CREATED AT", "ExitCode": "EXIT CODE", "Health": "HEALTH",
		"ID": "CONTAINER ID", "Image": "IMAGE", "Labels": "LABELS", "LocalVolumes": "LOCAL VOLUMES",
		"Mounts": "MOUNTS", "Name": "NAME", "Names": "NAMES", "Networks": "NETWORKS", "Ports": "PORTS",
		"Project": "PROJECT", "Publishers": "PUBLISHERS", "RunningFor": "CREATED", "Service": "SERVICE",
		"Size": "SIZE", "State": "STATE", "Status": "STATUS",
	}, rows)
}
