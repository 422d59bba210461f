package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gopkg.in/yaml.v3"

	"devstack/compose"
)

// CDIDirs are where the Container Device Interface has its specs; a later one
// wins.
func CDIDirs() []string { return []string{"/etc/cdi", "/var/run/cdi"} }

// cdiSpec is one file of the Container Device Interface: what the devices of
// one kind (vendor/class) need in a container.
// https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
type cdiSpec struct {
	Kind    string      `json:"kind"`
	Devices []cdiDevice `json:"devices"`
	Edits   cdiEdits    `json:"containerEdits"`
}

type cdiDevice struct {
	Name  string   `json:"name"`
	Edits cdiEdits `json:"containerEdits"`
}

type cdiEdits struct {
	Env         []string        `json:"env"`
	DeviceNodes []cdiDeviceNode `json:"deviceNodes"`
	Mounts      []cdiMount      `json:"mounts"`
	Hooks       []struct {
		HookName string `json:"hookName"`
		Path     string `json:"path"`
	} `json:"hooks"`
	AdditionalGIDs []uint32 `json:"additionalGids"`
}

type cdiDeviceNode struct {
	Path        string  `json:"path"`
	HostPath    string  `json:"hostPath"`
	Permissions string  `json:"permissions"`
	UID         *uint32 `json:"uid"`
	GID         *uint32 `json:"gid"`
}

type cdiMount struct {
	HostPath      string   `json:"hostPath"`
	ContainerPath string   `json:"containerPath"`
	Type          string   `json:"type"`
	Options       []string `json:"options"`
}

// cdiRegistry is every spec of the host.
type cdiRegistry []cdiSpec

func loadCDI(dirs []string) (cdiRegistry, error) {
	var all cdiRegistry
	for _, dir := range slices.Backward(dirs) { // what is found first wins
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read device specs: %w", err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			ext := filepath.Ext(path)
			if ext != ".json" && ext != ".yaml" && ext != ".yml" {
				continue
			}
			s, err := readCDI(path)
			if err != nil {
				return nil, fmt.Errorf("read device spec %s: %w", path, err)
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// readCDI reads a spec: JSON, or YAML by way of JSON.
func readCDI(path string) (s cdiSpec, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if filepath.Ext(path) != ".json" {
		var v any
		if err := yaml.Unmarshal(data, &v); err != nil {
			return s, err
		}
		if data, err = json.Marshal(v); err != nil {
			return s, err
		}
	}
	return s, json.Unmarshal(data, &s)
}

// edits are what a device, KIND=NAME, needs.
func (r cdiRegistry) edits(qualified string) ([]cdiEdits, error) {
	kind, name, _ := strings.Cut(qualified, "=")
	var known []string
	for _, s := range r {
		for _, d := range s.Devices {
			if s.Kind == kind && d.Name == name {
				return []cdiEdits{s.Edits, d.Edits}, nil
			}
			known = append(known, s.Kind+"="+d.Name)
		}
	}
	if known == nil {
		return nil, fmt.Errorf("device %s: this host has no CDI devices: %s have no specs", qualified, strings.Join(CDIDirs(), " and "))
	}
	return nil, fmt.Errorf("device %s: no such CDI device on this host; there are %s", qualified, strings.Join(known, ", "))
}

// of lists the devices of a vendor, as KIND=NAME.
func (r cdiRegistry) of(vendor string) []string {
	var out []string
	for _, s := range r {
		if owner, _, _ := strings.Cut(s.Kind, "/"); vendor != "" && !strings.HasPrefix(owner, vendor) {
			continue
		}
		for _, d := range s.Devices {
			if d.Name != "all" { // stands for the others
				out = append(out, s.Kind+"="+d.Name)
			}
		}
	}
	return out
}

// isCDI tells a CDI device from a path.
func isCDI(source string) bool {
	kind, name, ok := strings.Cut(source, "=")
	return ok && name != "" && strings.Contains(kind, "/") && !strings.HasPrefix(source, "/")
}

// cdiDevices are the CDI devices that a service asks for: by name in devices,
// by driver cdi, or as GPUs, all or some.
func cdiDevices(s *compose.Service, dirs []string) ([]cdiEdits, error) {
	requests := slices.Clone(s.GPUs)
	if s.Deploy != nil && s.Deploy.Resources.Reservations != nil {
		requests = append(requests, s.Deploy.Resources.Reservations.Devices...)
	}
	var names []string
	for _, d := range s.Devices {
		if isCDI(d.Source) {
			names = append(names, d.Source)
		}
	}
	if len(names)+len(requests) == 0 {
		return nil, nil
	}
	registry, err := loadCDI(dirs)
	if err != nil {
		return nil, err
	}
	for _, r := range requests {
		found, err := registry.request(r)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	var out []cdiEdits
	for _, name := range names {
		edits, err := registry.edits(name)
		if err != nil {
			return nil, err
		}
		out = append(out, edits...)
	}
	return out, nil
}

// request picks the devices of one request: those named, or so many of them.
func (r cdiRegistry) request(q compose.DeviceRequest) ([]string, error) {
	if q.Driver == "cdi" {
		return q.IDs, nil
	}
	what := q.Driver
	if what == "" {
		what = "GPU"
	}
	have := r.of(q.Driver)
	if len(have) == 0 {
		return nil, fmt.Errorf("no %s device on this host: %s have no CDI spec of one; its vendor's tools write it (as nvidia-ctk cdi generate)", what, strings.Join(CDIDirs(), " and "))
	}
	if q.IDs != nil {
		var out []string
		for _, id := range q.IDs {
			i := slices.IndexFunc(have, func(n string) bool { return n == id || strings.HasSuffix(n, "="+id) })
			if i < 0 {
				return nil, fmt.Errorf("no device %q on this host; there are %s", id, strings.Join(have, ", "))
			}
			out = append(out, have[i])
		}
		return out, nil
	}
	if q.Count < 0 {
		return have, nil
	}
	n := int(max(q.Count, 1))
	if n > len(have) {
		return nil, fmt.Errorf("%d devices asked for, and this host has %d: %s", n, len(have), strings.Join(have, ", "))
	}
	return have[:n], nil
}

// apply puts what devices need into a container's spec. Hooks are not run: the
// child is not the runtime that they are written for.
func (e cdiEdits) apply(out *specs.Spec) error {
	out.Process.Env = Merge(out.Process.Env, e.Env)
	out.Process.User.AdditionalGids = append(out.Process.User.AdditionalGids, e.AdditionalGIDs...)
	for _, n := range e.DeviceNodes {
		host := n.HostPath
		if host == "" {
			host = n.Path
		}
		d, err := hostDevice(host)
		if err != nil {
			return err
		}
		d.Path = n.Path
		if n.UID != nil {
			d.UID = n.UID
		}
		if n.GID != nil {
			d.GID = n.GID
		}
		if slices.ContainsFunc(out.Linux.Devices, func(have specs.LinuxDevice) bool { return have.Path == d.Path }) {
			continue // a privileged container has every device
		}
		access := n.Permissions
		if access == "" {
			access = "rwm"
		}
		out.Linux.Devices = append(out.Linux.Devices, d)
		out.Linux.Resources.Devices = append(out.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: access,
		})
	}
	for _, m := range e.Mounts {
		kind := m.Type
		options := m.Options
		if kind == "" {
			kind = "bind"
		}
		if kind == "bind" && !slices.Contains(options, "bind") && !slices.Contains(options, "rbind") {
			options = append([]string{"rbind"}, options...)
		}
		out.Mounts = append(out.Mounts, specs.Mount{Source: m.HostPath, Destination: m.ContainerPath, Type: kind, Options: options})
	}
	return nil
}
