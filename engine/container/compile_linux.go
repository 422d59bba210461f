package container

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"devstack/engine/cgroup"
	"devstack/engine/container/child"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// compile turns a container's spec into the child's program. It refuses what it
// cannot carry out: nothing is silently dropped.
func (rt *Runtime) compile(c Config, g *cgroup.Group) (*child.Program, error) {
	s := c.Spec
	if err := supported(s); err != nil {
		return nil, err
	}
	p := &child.Program{
		Name: c.ID, Target: -1, Init: c.Init,
		Propagate: unix.MS_REC | unix.MS_PRIVATE,
	}
	var err error
	if err = compileNamespaces(p, s); err != nil {
		return nil, err
	}
	if p.Process, err = compileProcess(s.Process); err != nil {
		return nil, err
	}
	p.Process.MakeCwd = true
	if p.Process.Seccomp, p.Process.SeccompFlag, err = rt.filters.Compile(s.Linux.Seccomp); err != nil {
		return nil, err
	}
	if p.Submounts, err = compileSubmounts(c.Root); err != nil {
		return nil, err
	}
	if err := compileMounts(p, s, g); err != nil {
		return nil, err
	}
	for _, d := range s.Linux.Devices {
		node, err := compileDevice(d)
		if err != nil {
			return nil, err
		}
		p.Devices = append(p.Devices, node)
	}
	for _, f := range c.Files {
		mode := f.Mode
		if mode == 0 {
			mode = 0o644
		}
		p.Files = append(p.Files, child.File{Path: f.Path, Data: f.Data, Mode: int(mode.Perm()), UID: f.UID, GID: f.GID})
	}
	p.Masked, p.Readonly = s.Linux.MaskedPaths, s.Linux.ReadonlyPaths
	p.ReadonlyRoot = s.Root != nil && s.Root.Readonly
	return p, noZeroBytes(p)
}

// supported refuses parts of the spec that have no meaning here.
func supported(s *specs.Spec) error {
	switch {
	case s == nil || s.Process == nil:
		return errors.New("check spec: process is missing")
	case s.Linux == nil:
		return errors.New("check spec: linux is missing")
	case s.Hooks != nil:
		return errors.New("check spec: hooks are not supported")
	case s.Process.ApparmorProfile != "":
		return fmt.Errorf("check spec: AppArmor profile %q is not supported", s.Process.ApparmorProfile)
	case s.Process.SelinuxLabel != "" || s.Linux.MountLabel != "":
		return errors.New("check spec: SELinux labels are not supported")
	case len(s.Linux.UIDMappings)+len(s.Linux.GIDMappings) > 0:
		return errors.New("check spec: user namespace mappings are not supported")
	case s.Linux.IntelRdt != nil || s.Linux.Personality != nil || len(s.Linux.TimeOffsets) > 0:
		return errors.New("check spec: intelRdt, personality and timeOffsets are not supported")
	case s.Process.Scheduler != nil || s.Process.IOPriority != nil || s.Process.ExecCPUAffinity != nil:
		return errors.New("check spec: scheduler, ioPriority and execCPUAffinity are not supported")
	}
	switch s.Linux.RootfsPropagation {
	case "", "private", "rprivate", "slave", "rslave":
		return nil
	}
	return fmt.Errorf("check spec: root propagation %q is not supported", s.Linux.RootfsPropagation)
}

// namespaceFlags are those a container can have; a network namespace is always
// joined or shared, because the engine makes it.
func namespaceFlags() map[specs.LinuxNamespaceType]int {
	return map[specs.LinuxNamespaceType]int{
		specs.PIDNamespace: unix.CLONE_NEWPID, specs.NetworkNamespace: unix.CLONE_NEWNET, specs.MountNamespace: unix.CLONE_NEWNS,
		specs.IPCNamespace: unix.CLONE_NEWIPC, specs.UTSNamespace: unix.CLONE_NEWUTS, specs.CgroupNamespace: unix.CLONE_NEWCGROUP,
	}
}

func compileNamespaces(p *child.Program, s *specs.Spec) error {
	flags := namespaceFlags()
	seen := 0
	for _, n := range s.Linux.Namespaces {
		flag, ok := flags[n.Type]
		switch {
		case !ok:
			return fmt.Errorf("check spec: %s namespace is not supported", n.Type)
		case seen&flag != 0:
			return fmt.Errorf("check spec: %s namespace is given twice", n.Type)
		case n.Path != "" && flag == unix.CLONE_NEWNS:
			return errors.New("check spec: a mount namespace cannot be joined")
		case n.Path != "":
			p.Joins = append(p.Joins, child.Join{Path: n.Path, Flag: flag})
			p.Fork = p.Fork || flag == unix.CLONE_NEWPID
		case flag != unix.CLONE_NEWPID: // which comes with the clone
			p.Unshare |= flag
		}
		seen |= flag
	}
	if p.Unshare&unix.CLONE_NEWNS == 0 {
		return errors.New("check spec: a container needs a mount namespace")
	}
	if p.Unshare&unix.CLONE_NEWUTS != 0 || seen&unix.CLONE_NEWUTS != 0 {
		p.SetHostname, p.Hostname = s.Hostname != "", s.Hostname
		p.SetDomainname, p.Domainname = s.Domainname != "", s.Domainname
	} else if s.Hostname != "" || s.Domainname != "" {
		return errors.New("check spec: a hostname needs a uts namespace")
	}
	return compileSysctls(p, s.Linux.Sysctl, seen)
}

// CheckSysctls finds kernel parameters that no container can have of its own.
func CheckSysctls(sysctls map[string]string) error {
	return compileSysctls(&child.Program{}, sysctls, ^0)
}

// compileSysctls refuses settings that would change the host.
func compileSysctls(p *child.Program, sysctls map[string]string, namespaces int) error {
	for key, value := range sysctls {
		path := strings.ReplaceAll(key, ".", "/")
		if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '/' {
			path = key // net/ipv4/conf/eth0.1/forwarding, as sysctl(8) has it
		}
		ipc := strings.HasPrefix(path, "kernel/shm") || strings.HasPrefix(path, "kernel/msg") || path == "kernel/sem" || strings.HasPrefix(path, "fs/mqueue/")
		needs := 0
		switch {
		case ipc:
			needs = unix.CLONE_NEWIPC
		case strings.HasPrefix(path, "net/"):
			needs = unix.CLONE_NEWNET
		case path == "kernel/domainname" || path == "kernel/hostname":
			needs = unix.CLONE_NEWUTS
		default:
			return fmt.Errorf("set sysctl %q: it is not in a namespace and would change the host", key)
		}
		if namespaces&needs == 0 {
			return fmt.Errorf("set sysctl %q: the container shares this namespace with the host", key)
		}
		p.Sysctls = append(p.Sysctls, child.Setting{Path: path, Value: value})
	}
	slices.SortFunc(p.Sysctls, func(a, b child.Setting) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

func compileMounts(p *child.Program, s *specs.Spec, g *cgroup.Group) error {
	for _, sm := range s.Mounts {
		if sm.Type == "cgroup" || sm.Type == "cgroup2" {
			p.Mounts = append(p.Mounts, cgroupView(sm, g, p.Unshare&unix.CLONE_NEWCGROUP != 0)...)
			continue
		}
		m, err := compileMount(sm)
		if err != nil {
			return err
		}
		p.Mounts = append(p.Mounts, m)
		if m.Target == "/dev" && m.Type == "tmpfs" {
			p.SetupDev = true
		}
	}
	if !p.SetupDev {
		return nil
	}
	for _, d := range DefaultDevices() {
		if slices.ContainsFunc(s.Linux.Devices, func(o specs.LinuxDevice) bool { return o.Path == d.Path }) {
			continue
		}
		node, err := compileDevice(d)
		if err != nil {
			return err
		}
		p.Devices = append(p.Devices, node)
	}
	return nil
}

// cgroupView shows the container its own groups: bound from the host's
// hierarchies, which costs less than mounting each again and looks the same from
// inside the cgroup namespace. Hierarchies without a group of ours are left out.
func cgroupView(sm specs.Mount, g *cgroup.Group, private bool) []child.Mount {
	view, err := compileMount(specs.Mount{Destination: sm.Destination, Type: "tmpfs", Source: "cgroup", Options: sm.Options})
	if err != nil || g == nil {
		return nil
	}
	if !private {
		return []child.Mount{{
			Source: "/sys/fs/cgroup", Target: sm.Destination, Recursive: true,
			TreeAttr: view.Attr, TreeAttrClear: view.AttrClear, Optional: true,
		}}
	}
	bind := func(source, target string) child.Mount {
		return child.Mount{Source: source, Target: target, Attr: view.Attr, AttrClear: view.AttrClear}
	}
	dirs := g.Dirs()
	if g.Unified() {
		for _, dir := range dirs {
			return []child.Mount{bind(dir, sm.Destination)}
		}
		return nil
	}
	// The tmpfs is made read-only only after its mount points exist.
	top := view
	top.Attr &^= unix.MOUNT_ATTR_RDONLY
	top.Options = []child.Option{{Key: "mode", Value: "755"}, {Key: "size", Value: "64k"}}
	mounts := []child.Mount{top}
	var hierarchies []string
	for mountPoint := range dirs {
		hierarchies = append(hierarchies, mountPoint)
	}
	slices.Sort(hierarchies)
	for _, h := range hierarchies {
		mounts = append(mounts, bind(dirs[h], sm.Destination+h[strings.LastIndexByte(h, '/'):]))
	}
	if view.Attr&unix.MOUNT_ATTR_RDONLY != 0 {
		mounts = append(mounts, child.Mount{Type: "attributes", Target: sm.Destination, Attr: view.Attr, AttrClear: view.AttrClear})
	}
	return mounts
}

func compileDevice(d specs.LinuxDevice) (child.Device, error) {
	kinds := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}
	kind, ok := kinds[d.Type]
	if !ok {
		return child.Device{}, fmt.Errorf("create device %q: type %q is not c, u, b or p", d.Path, d.Type)
	}
	mode := os.FileMode(0o666)
	if d.FileMode != nil {
		mode = *d.FileMode
	}
	node := child.Device{Path: d.Path, Mode: int(kind | uint32(mode.Perm())), Dev: unix.Mkdev(uint32(d.Major), uint32(d.Minor))}
	if d.UID != nil {
		node.UID = int(*d.UID)
	}
	if d.GID != nil {
		node.GID = int(*d.GID)
	}
	return node, nil
}

// noZeroBytes checks what the kernel takes as C strings.
func noZeroBytes(p *child.Program) error {
	for _, list := range [][]string{p.Process.Args, p.Process.Env, {p.Process.Cwd}, p.Masked, p.Readonly} {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return fmt.Errorf("check spec: %q has a zero byte", s)
			}
		}
	}
	for _, m := range p.Mounts {
		if strings.IndexByte(m.Source+m.Target, 0) >= 0 {
			return fmt.Errorf("check spec: mount %q has a zero byte", m.Target)
		}
	}
	return nil
}
