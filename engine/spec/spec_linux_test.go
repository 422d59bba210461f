package spec

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/compose"
)

func TestArgs(t *testing.T) {
	entry, cmd := []string{"/entry"}, []string{"cmd"}
	for _, c := range []struct {
		name             string
		service          compose.Service
		entrypoint, args []string
		want             []string
	}{
		{"image's own", compose.Service{}, entry, cmd, []string{"/entry", "cmd"}},
		{"command replaces cmd", compose.Service{Command: []string{"x"}}, entry, cmd, []string{"/entry", "x"}},
		{"entrypoint clears cmd", compose.Service{Entrypoint: []string{"e"}}, entry, cmd, []string{"e"}},
		{"cleared entrypoint", compose.Service{Entrypoint: []string{}, Command: []string{"x"}}, entry, cmd, []string{"x"}},
		{"empty string clears", compose.Service{Entrypoint: []string{""}, Command: []string{"x"}}, entry, cmd, []string{"x"}},
		{"cleared command", compose.Service{Command: []string{}}, entry, cmd, []string{"/entry"}},
	} {
		if got := Args(&c.service, c.entrypoint, c.args); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestEnv(t *testing.T) {
	text := func(s string) *string { return &s }
	s := compose.Service{TTY: true, Environment: compose.Mapping{"B": text("service"), "EMPTY": text(""), "UNSET": nil, "HOME": text("/mine")}}
	got := Env(&s, []string{"A=image", "B=image"}, "box", "/root")
	want := []string{"A=image", "B=service", defaultPath, "HOSTNAME=box", "TERM=xterm", "EMPTY=", "HOME=/mine"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCapabilities(t *testing.T) {
	def, all := []string{"CAP_CHOWN", "CAP_KILL"}, []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN"}
	for _, c := range []struct {
		add, drop []string
		want      string
		fault     string
	}{
		{nil, nil, "CAP_CHOWN CAP_KILL", ""},
		{[]string{"net_admin"}, []string{"CAP_KILL"}, "CAP_CHOWN CAP_NET_ADMIN", ""},
		{[]string{"ALL"}, []string{"KILL"}, "CAP_CHOWN CAP_NET_ADMIN", ""},
		{[]string{"KILL"}, []string{"ALL"}, "CAP_KILL", ""},
		{[]string{"NOPE"}, nil, "", `cap_add: unknown capability "NOPE"`},
		{nil, []string{"NOPE"}, "", `cap_drop: unknown capability "NOPE"`},
		{[]string{"SYS_TIME"}, nil, "", "cap_add: the engine has no CAP_SYS_TIME itself"},
	} {
		got, err := Capabilities(&compose.Service{CapAdd: c.add, CapDrop: c.drop}, def, all)
		if text := strings.Join(got, " "); text != c.want || faultText(err) != c.fault {
			t.Errorf("add %q drop %q: %q, %v", c.add, c.drop, text, err)
		}
	}
}

func faultText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestResolveUser(t *testing.T) {
	acc := Accounts{
		Passwd: []byte("root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\napp:x:1000:1001::/home/app:/bin/sh\n"),
		Group:  []byte("root:x:0:\nextra:x:2000:other,app\nstaff:x:50:\n"),
	}
	for _, c := range []struct {
		user   string
		groups []string
		want   User
		fault  string
	}{
		{"", nil, User{Home: "/root", Groups: []uint32{0}}, ""},
		{"app", nil, User{UID: 1000, GID: 1001, Home: "/home/app", Groups: []uint32{1001, 2000}}, ""},
		{"1000", []string{"staff", "7"}, User{UID: 1000, GID: 1001, Home: "/home/app", Groups: []uint32{7, 50, 1001, 2000}}, ""},
		{"app:staff", nil, User{UID: 1000, GID: 50, Home: "/home/app", Groups: []uint32{50}}, ""},
		{"4321", nil, User{UID: 4321, Home: "/", Groups: []uint32{0}}, ""},
		{"4321:99", nil, User{UID: 4321, GID: 99, Home: "/", Groups: []uint32{99}}, ""},
		{"ghost", nil, User{}, `user "ghost": no such user in the image's /etc/passwd`},
		{"app:ghosts", nil, User{}, `group "ghosts": no such group in the image's /etc/group`},
		{"-1", nil, User{}, `user "-1": no such user in the image's /etc/passwd`},
		{"4294967296", nil, User{}, `user "4294967296": no such user in the image's /etc/passwd`},
	} {
		got, err := ResolveUser(c.user, c.groups, acc)
		if err == nil {
			c.want.Umask = 0o022
		}
		if diff := cmp.Diff(c.want, got); diff != "" || faultText(err) != c.fault {
			t.Errorf("%s: %v %s", c.user, err, diff)
		}
	}
}

func TestParseSecurityOpt(t *testing.T) {
	got, err := ParseSecurityOpt([]string{"no-new-privileges:true", "seccomp=./p.json", "apparmor:unconfined", "systempaths=unconfined", "label=disable"})
	want := Security{NoNewPrivileges: true, Seccomp: "./p.json", SystemPathsFree: true, AppArmorProfile: "unconfined", AppArmorDisabled: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for _, bad := range []string{"nonsense", "who=knows", "no-new-privileges=maybe", "systempaths=x"} {
		if _, err := ParseSecurityOpt([]string{bad}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestResources(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	u := func(v uint64) *uint64 { return &v }
	s := compose.Service{
		MemLimit: 1 << 20, CPUs: 0.3, CPUSet: "0", PidsLimit: 5,
		Deploy: &compose.Deploy{Resources: compose.Resources{Limits: &compose.Resource{Memory: 2 << 20, Pids: 9}, Reservations: &compose.Resource{Memory: 1 << 19}}},
	}
	got, err := Resources(&s)
	want := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: n(2 << 20), Swap: n(4 << 20), Reservation: n(1 << 19)},
		CPU:    &specs.LinuxCPU{Period: u(100_000), Quota: n(30_000), Cpus: "0"},
		Pids:   &specs.LinuxPids{Limit: n(9)},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := Resources(&compose.Service{}); err != nil || got.Memory != nil || got.CPU != nil || got.Pids != nil {
		t.Errorf("a service without limits gets %+v, %v", got, err)
	}
}

func TestRlimits(t *testing.T) {
	got := Rlimits(map[string]compose.Ulimit{"nofile": {Soft: 1, Hard: 2}, "core": {}, "memlock": {Single: -1}})
	const unlimited = ^uint64(0)
	want := []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_MEMLOCK", Soft: unlimited, Hard: unlimited}, {Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeviceRule(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	got, err := deviceRule("c 1:* rw")
	if diff := cmp.Diff(specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(1), Access: "rw"}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for _, bad := range []string{"", "c 1:3", "x 1:3 r", "c 1 r", "c -1:3 r", "c 1:3 z", "c 99999999999:1 r"} {
		if _, err := deviceRule(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestTmpfsShort(t *testing.T) {
	for entry, want := range map[string]string{
		"/a":                           "/a noexec,nosuid,nodev",
		"/a/:size=1m,mode=1770,uid=7":  "/a noexec,nosuid,nodev,size=1m,mode=1770,uid=7",
		"/a:exec,suid,nodev,,noatime":  "/a nodev,exec,suid,noatime",
		"/run:rw,noexec,nosuid,size=5": "/run noexec,nosuid,nodev,rw,size=5",
	} {
		m := tmpfsShort(entry)
		if got := m.Destination + " " + strings.Join(m.Options, ","); got != want {
			t.Errorf("%s: %s, want %s", entry, got, want)
		}
	}
}

// TestMounts holds that a service's own replace the defaults, that parents
// come first, and that /dev/shm is who owns the ipc namespace's.
func TestMounts(t *testing.T) {
	list := func(in Input) string {
		var out []string
		for _, m := range allMounts(in) {
			out = append(out, m.Destination+"="+m.Source)
		}
		return strings.Join(out, " ")
	}
	s := &compose.Service{Tmpfs: []string{"/a"}}
	got := list(Input{Service: s, Mounts: []specs.Mount{BindMount(Bound{Source: "/deep", Target: "/a/b/c"}), BindMount(Bound{Source: "/sys", Target: "/sys/"})}})
	for _, want := range []string{" /sys/=/sys ", " /a=tmpfs /a/b/c=/deep"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if strings.Contains(got, "sysfs") {
		t.Errorf("the default /sys stays: %s", got)
	}
	for _, c := range []struct{ mode, ipc, want string }{
		{"", "", "/dev/shm=shm"},
		{"shareable", "", "/dev/shm=shm"},
		{"host", HostNamespace, "/dev/shm=/dev/shm"},
		{"service:db", "/proc/7/ns/ipc", "/dev/shm=/proc/7/root/dev/shm"},
	} {
		if got := list(Input{Service: &compose.Service{IPC: c.mode}, IPC: c.ipc}); !strings.Contains(got, c.want) {
			t.Errorf("ipc %q: no %s in %s", c.mode, c.want, got)
		}
	}
	if got := list(Input{Service: &compose.Service{IPC: "none"}}); strings.Contains(got, "/dev/shm") {
		t.Errorf("ipc none: %s", got)
	}
}

func TestHosts(t *testing.T) {
	hosts, err := ExtraHosts(map[string][]string{"b": {"[::1]"}, "a": {"10.0.0.1", "host-gateway"}}, netip.MustParseAddr("10.0.0.254"))
	if err != nil {
		t.Fatal(err)
	}
	got := string(HostsFile("box", "example.org", []netip.Addr{netip.MustParseAddr("10.0.0.7")}, hosts))
	_, got, _ = strings.Cut(got, "allrouters\n")
	if diff := cmp.Diff("10.0.0.1\ta\n10.0.0.254\ta\n::1\tb\n10.0.0.7\tbox.example.org box\n", got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"not-an-address", "host-gateway"} {
		if _, err := ExtraHosts(map[string][]string{"x": {bad}}, netip.Addr{}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestExec(t *testing.T) {
	in := ExecInput{
		Service: &compose.Service{WorkingDir: "/srv", User: "app"}, Hostname: "box",
		User: User{UID: 5}, Args: []string{"x"}, Cwd: "sub", Env: []string{"A=1", "PATH=/mine"},
	}
	p, err := Exec(in)
	if err != nil {
		t.Fatal(err)
	}
	if p.Cwd != "/srv/sub" || Lookup(p.Env, "PATH") != "/mine" || Lookup(p.Env, "A") != "1" {
		t.Errorf("cwd %s, env %q", p.Cwd, p.Env)
	}
	if len(p.Capabilities.Effective) != 0 || len(p.Capabilities.Bounding) == 0 {
		t.Errorf("another user than root gets %+v", p.Capabilities)
	}
	in.Args = nil
	if _, err := Exec(in); err == nil {
		t.Error("nothing to run is taken")
	}
}
