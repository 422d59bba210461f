package spec

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/compose"
	"devstack/engine/container"
	"devstack/engine/image"
)

// HostNamespace in place of a namespace's path means the host's own.
const HostNamespace = "host"

// Input is what a container's spec is made from.
type Input struct {
	Service    *compose.Service
	Image      image.Image
	Hostname   string
	User       User
	CgroupPath string
	NetNS      string // path of the network namespace; "" is the host's
	IPC, PID   string // path, HostNamespace, or "" for a new one
	Mounts     []specs.Mount
	ProjectDir string   // where relative paths of profiles begin
	CDIDirs    []string // nil: the host's
	Env        []string // KEY=VALUE, under the container's own
}

func (in *Input) cdiDirs() []string {
	if in.CDIDirs != nil {
		return in.CDIDirs
	}
	return CDIDirs()
}

// Build makes the OCI runtime spec of a container.
func Build(in Input) (*specs.Spec, error) {
	s := in.Service
	sec, err := ParseSecurityOpt(s.SecurityOpt)
	if err != nil {
		return nil, err
	}
	args := Args(s, in.Image.Config.Entrypoint, in.Image.Config.Cmd)
	if err := checkArgs(args); err != nil {
		return nil, err
	}
	caps, err := Capabilities(s, container.DefaultCapabilities(), available())
	if err != nil {
		return nil, err
	}
	linux, err := linuxPart(in, sec)
	if err != nil {
		return nil, err
	}
	process := &specs.Process{
		Terminal:        s.TTY,
		User:            in.User.oci(),
		Args:            args,
		Env:             Env(s, in.Image.Config.Env, in.Hostname, in.User.Home, in.Env...),
		Cwd:             workingDir(s, in.Image),
		Capabilities:    capabilitySets(caps, in.User.UID),
		Rlimits:         Rlimits(s.Ulimits),
		NoNewPrivileges: sec.NoNewPrivileges,
	}
	if s.Umask != nil {
		process.User.Umask = s.Umask
	}
	// Docker, too, leaves profiles aside where AppArmor does not run.
	if sec.AppArmorProfile != "" && !sec.AppArmorDisabled && hasAppArmor() {
		process.ApparmorProfile = sec.AppArmorProfile
	}
	if s.OOMScoreAdj != 0 {
		adj := int(s.OOMScoreAdj)
		process.OOMScoreAdj = &adj
	}
	out := &specs.Spec{
		Version:     specs.Version,
		Process:     process,
		Root:        &specs.Root{Readonly: s.ReadOnly},
		Mounts:      allMounts(in),
		Annotations: s.Annotations,
		Linux:       linux,
	}
	edits, err := cdiDevices(s, in.cdiDirs())
	if err != nil {
		return nil, err
	}
	for _, e := range edits {
		if err := e.apply(out); err != nil {
			return nil, err
		}
	}
	if s.UTS != HostNamespace {
		out.Hostname, out.Domainname = in.Hostname, s.DomainName
	}
	if !s.Privileged {
		if linux.Seccomp, err = seccompProfile(sec, in.ProjectDir, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func linuxPart(in Input, sec Security) (*specs.Linux, error) {
	s := in.Service
	res, err := Resources(s)
	if err != nil {
		return nil, err
	}
	devices, rules, err := devicesOf(s)
	if err != nil {
		return nil, err
	}
	res.Devices = rules
	l := &specs.Linux{
		Namespaces:  namespaces(in),
		Resources:   res,
		Devices:     devices,
		Sysctl:      sysctls(in),
		CgroupsPath: in.CgroupPath,
	}
	if !s.Privileged && !sec.SystemPathsFree {
		l.MaskedPaths = container.DefaultMaskedPaths()
		l.ReadonlyPaths = container.DefaultReadonlyPaths()
	}
	return l, nil
}

// sysctls are the service's, over those that Docker gives every container with
// a network of its own: any user may ping and listen on port 80.
func sysctls(in Input) map[string]string {
	mode := in.Service.NetworkMode
	shared := strings.HasPrefix(mode, "service:") || strings.HasPrefix(mode, "container:")
	if in.NetNS == "" || shared {
		return maps.Clone(in.Service.Sysctls)
	}
	out := map[string]string{
		"net.ipv4.ping_group_range":           "0 2147483647",
		"net.ipv4.ip_unprivileged_port_start": "0",
	}
	for key, value := range in.Service.Sysctls {
		delete(out, strings.ReplaceAll(key, "/", ".")) // the same, as sysctl(8) also has it
		out[key] = value
	}
	return out
}

func namespaces(in Input) []specs.LinuxNamespace {
	ns := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	if in.NetNS != "" {
		ns = append(ns, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: in.NetNS})
	}
	for _, n := range []struct {
		kind specs.LinuxNamespaceType
		path string
	}{{specs.IPCNamespace, in.IPC}, {specs.PIDNamespace, in.PID}} {
		if n.path != HostNamespace {
			ns = append(ns, specs.LinuxNamespace{Type: n.kind, Path: n.path})
		}
	}
	if in.Service.UTS != HostNamespace {
		ns = append(ns, specs.LinuxNamespace{Type: specs.UTSNamespace})
	}
	if in.Service.Cgroup != HostNamespace {
		ns = append(ns, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return ns
}

// allMounts are the standard ones, then tmpfs, then the service's, parents
// first.
func allMounts(in Input) []specs.Mount {
	s := in.Service
	own := slices.Clone(in.Mounts)
	for _, entry := range s.Tmpfs {
		own = append(own, tmpfsShort(entry))
	}
	defaults := shareMemory(container.DefaultMounts(int64(s.ShmSize)), in)
	if s.Privileged {
		for i := range defaults {
			if t := defaults[i].Type; t == "sysfs" || t == "cgroup" {
				defaults[i].Options = slices.DeleteFunc(slices.Clone(defaults[i].Options), func(o string) bool { return o == "ro" })
			}
		}
	}
	return mergeMounts(defaults, own)
}

// shareMemory puts the /dev/shm in place that belongs to the ipc mode: POSIX
// shared memory is a file system, which no ipc namespace holds.
func shareMemory(defaults []specs.Mount, in Input) []specs.Mount {
	i := slices.IndexFunc(defaults, func(m specs.Mount) bool { return m.Destination == "/dev/shm" })
	peer, joined := strings.CutSuffix(in.IPC, "/ns/ipc")
	switch {
	case i < 0:
	case in.Service.IPC == "none":
		return slices.Delete(slices.Clone(defaults), i, i+1)
	case in.IPC == HostNamespace:
		defaults[i] = BindMount(Bound{Source: "/dev/shm", Target: "/dev/shm"})
	case joined:
		defaults[i] = BindMount(Bound{Source: peer + "/root/dev/shm", Target: "/dev/shm"})
	}
	return defaults
}

func workingDir(s *compose.Service, img image.Image) string {
	dir := s.WorkingDir
	if dir == "" {
		dir = img.Config.WorkingDir
	}
	if dir == "" {
		return "/"
	}
	return path.Clean("/" + dir)
}

// capabilitySets gives a root process its capabilities in every set that
// Docker fills; any other user only keeps them as a bound.
func capabilitySets(caps []string, uid uint32) *specs.LinuxCapabilities {
	c := &specs.LinuxCapabilities{Bounding: caps}
	if uid == 0 {
		c.Effective, c.Permitted = caps, caps
	}
	return c
}

func (u User) oci() specs.User {
	return specs.User{UID: u.UID, GID: u.GID, AdditionalGids: u.Groups}
}

// devicesOf are a service's device nodes and the cgroup rules for them.
func devicesOf(s *compose.Service) ([]specs.LinuxDevice, []specs.LinuxDeviceCgroup, error) {
	if s.Privileged {
		return allHostDevices(), []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, nil
	}
	rules := container.DefaultDeviceRules()
	var devices []specs.LinuxDevice
	for _, d := range s.Devices {
		if isCDI(d.Source) {
			continue // see cdiDevices
		}
		target, access := d.Target, d.Permissions
		if target == "" {
			target = d.Source
		}
		if access == "" {
			access = "rwm"
		}
		found, err := hostDevices(d.Source, target)
		if err != nil {
			return nil, nil, err
		}
		for _, f := range found {
			rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: f.Type, Major: &f.Major, Minor: &f.Minor, Access: access})
		}
		devices = append(devices, found...)
	}
	for _, text := range s.DeviceCgroupRules {
		r, err := deviceRule(text)
		if err != nil {
			return nil, nil, err
		}
		rules = append(rules, r)
	}
	return devices, rules, nil
}

// ExecInput is what the process of an exec is made from.
type ExecInput struct {
	Service    *compose.Service
	Image      image.Image
	Hostname   string
	User       User
	Args       []string
	Cwd        string
	Defaults   []string // KEY=VALUE, under the container's own
	Env        []string // KEY=VALUE, over the container's own
	TTY        bool
	Privileged bool
}

// Exec makes the process of an exec: the container's environment, limits and
// capabilities, somebody else's command.
func Exec(in ExecInput) (*specs.Process, error) {
	if len(in.Args) == 0 {
		return nil, errors.New("no command to run")
	}
	s := *in.Service
	s.Privileged = s.Privileged || in.Privileged
	s.TTY = in.TTY
	sec, err := ParseSecurityOpt(s.SecurityOpt)
	if err != nil {
		return nil, err
	}
	caps, err := Capabilities(&s, container.DefaultCapabilities(), available())
	if err != nil {
		return nil, err
	}
	cwd := in.Cwd
	if cwd == "" || !strings.HasPrefix(cwd, "/") {
		cwd = path.Join(workingDir(&s, in.Image), cwd)
	}
	user := in.User.oci()
	user.Umask = s.Umask
	return &specs.Process{
		Terminal:        in.TTY,
		User:            user,
		Args:            in.Args,
		Env:             Merge(Env(&s, in.Image.Config.Env, in.Hostname, in.User.Home, in.Defaults...), in.Env),
		Cwd:             cwd,
		Capabilities:    capabilitySets(caps, in.User.UID),
		Rlimits:         Rlimits(s.Ulimits),
		NoNewPrivileges: sec.NoNewPrivileges,
	}, nil
}
