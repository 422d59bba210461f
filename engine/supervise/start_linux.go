package supervise

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/spec"
	"devstack/engine/state"
)

// failed records that the process never came to execute its program.
func (u *Unit) failed(err error) {
	code := 127
	var child *container.ChildError
	if errors.As(err, &child) && child.ExitCode() != 0 {
		code = child.ExitCode()
	}
	u.update(func(s *state.Run) {
		s.State, s.ExitCode, s.Error, s.PID = api.StateExited, code, err.Error(), 0
		s.Finished = time.Now()
	})
	u.announce()
	u.emit("die", "exitCode", strconv.Itoa(code), "error", err.Error())
	u.m.Idle()
}

// launch makes one process for the container and lets it run.
func (u *Unit) launch(ctx context.Context, r *run) (err error) {
	std, err := u.openStdio(r)
	if err != nil {
		return err
	}
	defer std.closeChildEnds()
	defer func() {
		if err != nil {
			u.drainOutput(r)
		}
	}()
	cfg, held, err := u.config(ctx)
	defer func() {
		for _, f := range held {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	cfg.Stdin, cfg.Stdout, cfg.Stderr = std.in, std.out, std.err
	c, err := u.m.Runtime.Create(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Delete(context.WithoutCancel(ctx)))
			r.set(nil)
		}
	}()
	r.set(c)
	if err := u.followOutput(r, c.Console()); err != nil {
		return err
	}
	// Names and ports come before the program: it may look itself up at once.
	u.update(func(s *state.Run) {
		s.State, s.PID, s.StartTime = api.StateRunning, c.PID(), c.StartTime()
		s.ExitCode, s.OOMKilled, s.Error, s.Health = 0, false, "", u.firstHealth()
		s.Started = time.Time{} // not before it executes its program
	})
	u.announce()
	if err := c.Start(ctx); err != nil {
		return err
	}
	u.update(func(s *state.Run) { s.Started, s.Finished = time.Now(), time.Time{} })
	u.emit("start")
	u.warmUp(r, c)
	return nil
}

// config is everything the runtime has to know. held must stay open until
// Create has returned.
func (u *Unit) config(ctx context.Context) (cfg container.Config, held []*os.File, err error) {
	rec := u.Record()
	s := &rec.Declared
	_, meta := u.p.Declared()
	netns, err := u.netnsPath()
	if err != nil {
		return cfg, nil, err
	}
	user, err := u.m.resolveUser(&rec, s.User, s.GroupAdd)
	if err != nil {
		return cfg, nil, err
	}
	mounts, files, held, err := u.mounts(ctx)
	if err != nil {
		return cfg, held, err
	}
	ipc, err := u.namespacePath(s.IPC, "ipc")
	if err != nil {
		return cfg, held, err
	}
	pid, err := u.namespacePath(s.PID, "pid")
	if err != nil {
		return cfg, held, err
	}
	sp, err := spec.Build(spec.Input{
		Service: s, Image: rec.Image, Hostname: u.hostname(), User: user,
		CgroupPath: u.cgroupPath(),
		NetNS:      netns, IPC: ipc, PID: pid, Mounts: mounts, ProjectDir: meta.WorkingDir,
		Env: u.p.portVariables(),
	})
	if err != nil {
		return cfg, held, err
	}
	names, err := u.nameFiles(netns == "")
	if err != nil {
		return cfg, held, err
	}
	return container.Config{
		ID: u.id, Spec: sp, Files: append(names, files...),
		Init: s.Init != nil && *s.Init,
		Root: container.RootFS{Lower: u.snap.Lower, Upper: u.snap.Upper, Work: u.snap.Work, Submounts: u.snap.Submounts},
	}, held, nil
}

// cgroupPath is where the container's processes are counted.
func (u *Unit) cgroupPath() string {
	return filepath.Join("/", cgroupParent(u.rec.Declared.CgroupParent), "devstack-"+u.m.Roots.Tag(), u.p.Name, u.id)
}

// cgroupParent is the path that cgroup_parent means: a path, or a slice, whose
// name tells those above it ("a-b.slice" lies in "a.slice", systemd.slice(5)).
func cgroupParent(declared string) string {
	name, ok := strings.CutSuffix(declared, ".slice")
	if !ok || strings.Contains(declared, "/") || strings.HasPrefix(name, "-") {
		return declared
	}
	var out, prefix string
	for part := range strings.SplitSeq(name, "-") {
		prefix += part
		out = filepath.Join(out, prefix+".slice")
		prefix += "-"
	}
	return out
}

// hostname is the declared one; where the host's or another container's names
// are shared, theirs.
func (u *Unit) hostname() string {
	s := &u.rec.Declared
	if s.Hostname != "" && s.UTS != netHost {
		return s.Hostname
	}
	if s.NetworkMode == netHost || s.UTS == netHost {
		if h, err := os.Hostname(); err == nil {
			return h
		}
	}
	if mode := sharedNetwork(s); mode != "" {
		if other, err := u.peer(mode); err == nil {
			return other.hostname()
		}
	}
	return u.id[:12]
}

// namespacePath is the namespace that an ipc or pid mode joins: a path, "host",
// or "" for one of its own.
func (u *Unit) namespacePath(mode, kind string) (string, error) {
	switch mode {
	case "", "private", "shareable", "none":
		return "", nil
	case netHost:
		return spec.HostNamespace, nil
	}
	other, err := u.peer(mode)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", kind, mode, err)
	}
	c := other.Process()
	if c == nil {
		return "", fmt.Errorf("%s %s: container %s is not running", kind, mode, other.name)
	}
	return "/proc/" + strconv.Itoa(c.PID()) + "/ns/" + kind, nil
}

// nameFiles are /etc/hostname, /etc/hosts and /etc/resolv.conf.
func (u *Unit) nameFiles(host bool) ([]container.File, error) {
	other, err := u.networkOwner()
	if err != nil {
		return nil, err
	}
	owner, box := other.Record(), other.sandbox
	var gateway netip.Addr
	if len(owner.Endpoints) > 0 {
		if n, ok := u.m.Network.Lookup(owner.Endpoints[0].Network); ok {
			gateway = n.Gateway()
		}
	}
	if host {
		gateway = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	// Who shares a network shares the names that belong to it.
	extra, err := spec.ExtraHosts(owner.Declared.ExtraHosts, gateway)
	if err != nil {
		return nil, err
	}
	resolv := hostFile("/etc/resolv.conf")
	if box != nil {
		resolv = box.ResolvConf()
	}
	return []container.File{
		{Path: "/etc/hostname", Data: []byte(u.hostname() + "\n"), Mode: 0o644},
		{Path: "/etc/hosts", Data: spec.HostsFile(u.hostname(), owner.Declared.DomainName, addrs(&owner, ""), extra), Mode: 0o644},
		{Path: "/etc/resolv.conf", Data: resolv, Mode: 0o644},
	}, nil
}

// ProcessSpec is the process of an exec, with the container's own defaults.
func (u *Unit) ProcessSpec(user, cwd string, env, args []string, tty, privileged bool) (*specs.Process, error) {
	rec := u.Record()
	who, err := u.m.resolveUser(&rec, firstOf(user, rec.Declared.User, rec.Image.Config.User), rec.Declared.GroupAdd)
	if err != nil {
		return nil, err
	}
	return spec.Exec(spec.ExecInput{
		Service: &rec.Declared, Image: rec.Image, Hostname: u.hostname(), User: who,
		Args: args, Cwd: cwd, Defaults: u.p.portVariables(), Env: env, TTY: tty, Privileged: privileged,
	})
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
