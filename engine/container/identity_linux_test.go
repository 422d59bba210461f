package container

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// exec runs a command in k.
func (b *box) exec(k *Container, args ...string) (string, Exit) {
	b.Helper()
	return b.execAs(k, &specs.Process{Args: args, Env: []string{"PATH=/bin"}, Cwd: "/"})
}

func (b *box) execAs(k *Container, p *specs.Process) (string, Exit) {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	proc, err := k.Exec(b.ctx(), ExecConfig{Process: p, Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		b.Fatal(err)
	}
	out, _ := io.ReadAll(r)
	exit, err := proc.Wait(b.ctx())
	if err != nil {
		b.Fatal(err)
	}
	return string(out), exit
}

func (b *box) start(c Config) *Container {
	b.Helper()
	k := b.create(c)
	if err := k.Start(b.ctx()); err != nil {
		b.Fatal(err)
	}
	return k
}

func TestUser(t *testing.T) {
	b := newBox(t)
	c := b.config()
	umask := uint32(0o077)
	c.Spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6}, Umask: &umask}
	out := b.shWith(c, "id -u; id -g; id -G; umask; grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status; echo ok > /dev/stdout")
	want := "1000\n1001\n1001 5 6\n0077\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nok\n"
	if out != want {
		t.Errorf("got %q", out)
	}
}

func TestCapabilitySets(t *testing.T) {
	b := newBox(t)
	out := b.sh("grep Cap /proc/self/status")
	const def = "00000000a80425fb" // Docker's
	for _, line := range []string{"CapPrm:\t" + def, "CapEff:\t" + def, "CapBnd:\t" + def, "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000"} {
		if !strings.Contains(out, line) {
			t.Errorf("want %q in %q", line, out)
		}
	}
	c := b.config()
	net := []string{"CAP_NET_BIND_SERVICE"}
	c.Spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: net, Effective: net, Permitted: net, Inheritable: net, Ambient: net}
	c.Spec.Process.User.UID = 33
	out = b.shWith(c, "grep Cap /proc/self/status")
	if strings.Count(out, "0000000000000400") != 5 {
		t.Errorf("ambient: got %q", out)
	}
}

func TestNoNewPrivileges(t *testing.T) {
	b := newBox(t)
	for _, nnp := range []bool{false, true} {
		for _, uid := range []uint32{0, 12} {
			c := b.config()
			c.Spec.Process.NoNewPrivileges = nnp
			c.Spec.Process.User.UID = uid
			out := b.shWith(c, "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status")
			want := "NoNewPrivs:\t0\nSeccomp:\t2\n"
			if nnp {
				want = "NoNewPrivs:\t1\nSeccomp:\t2\n"
			}
			if out != want {
				t.Errorf("%v, %d: got %q", nnp, uid, out)
			}
		}
	}
}

func TestSeccompDeniesAndUnconfinedDoesNot(t *testing.T) {
	b := newBox(t)
	os.Symlink("busybox", b.lower+"/bin/unshare")
	// An unprivileged user namespace would be the way around most of this.
	b.sh("! unshare -U true 2>/dev/null")
	c := b.config()
	c.Spec.Linux.Seccomp = nil
	b.shWith(c, "unshare -U true; grep 'Seccomp:.0' /proc/self/status")

	c = b.config()
	var err error
	if c.Spec.Linux.Seccomp, err = LoadSeccomp([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}`), c.Spec); err != nil {
		t.Fatal(err)
	}
	if out := b.shWith(c, "mkdir /tmp/x 2>&1 || true"); !strings.Contains(out, "No space left") {
		t.Errorf("custom profile: got %q", out)
	}
}

func TestLimitsAndScore(t *testing.T) {
	b := newBox(t)
	c := b.config()
	score := 321
	c.Spec.Process.OOMScoreAdj = &score
	c.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 123, Hard: 456}, {Type: "RLIMIT_CORE"}}
	if out := b.shWith(c, "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj"); out != "123\n456\n0\n321\n" {
		t.Errorf("got %q", out)
	}
}

func TestSysctlsAndNames(t *testing.T) {
	b := newBox(t)
	c := b.config()
	c.Spec.Domainname = "example.org"
	c.Spec.Linux.Namespaces = append(c.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	c.Spec.Linux.Sysctl = map[string]string{"net.core.somaxconn": "77", "kernel.msgmax": "9000", "net/ipv4/ip_forward": "1"}
	out := b.shWith(c, "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/domainname; hostname")
	if out != "77\n9000\n1\nexample.org\nbox\n" {
		t.Errorf("got %q", out)
	}
	for _, key := range []string{"kernel.panic", "vm.swappiness", "kernel.msgmax/../panic"} {
		c := b.config("true")
		c.Spec.Linux.Sysctl = map[string]string{key: "1"}
		if k, err := b.rt.Create(b.ctx(), c); err == nil {
			k.Delete(b.ctx())
			t.Errorf("%s was set", key)
		}
	}
}

func TestExecErrors(t *testing.T) {
	b := newBox(t)
	b.write(b.lower+"/bin/plain", "text")
	b.write(b.lower+"/bin/noint", "#!/no/such/shell\n")
	os.Chmod(b.lower+"/bin/noint", 0o755)
	b.write(b.lower+"/bin/garbage", "\x00\x01\x02")
	os.Chmod(b.lower+"/bin/garbage", 0o755)
	for _, test := range []struct {
		command string
		errno   syscall.Errno
		code    int
	}{
		{"nothing", syscall.ENOENT, 127},
		{"/bin/nothing", syscall.ENOENT, 127},
		{"/bin/plain", syscall.EACCES, 126},
		{"plain", syscall.EACCES, 126},
		{"/etc", syscall.EACCES, 126},
		{"/bin/noint", syscall.ENOENT, 127},
		{"/bin/garbage", syscall.ENOEXEC, 126},
	} {
		k, err := b.rt.Create(b.ctx(), b.config(test.command))
		if err == nil {
			err = k.Start(b.ctx())
			if derr := k.Delete(b.ctx()); derr != nil {
				t.Error(derr)
			}
		}
		var ce *ChildError
		if !errors.As(err, &ce) || ce.Op != "exec" || ce.Errno != test.errno || ce.ExitCode() != test.code {
			t.Errorf("%s: got %v", test.command, err)
		}
		t.Log(err)
	}
}

func TestExecJoinsEverything(t *testing.T) {
	b := newBox(t)
	k := b.start(b.config("sleep", "100"))
	out, exit := b.exec(k, "sh", "-c", "for n in mnt pid uts ipc net cgroup; do readlink /proc/self/ns/$n; done")
	lines := strings.Fields(out)
	if exit.Code != 0 || len(lines) != 6 {
		t.Fatalf("got %v %q", exit, out)
	}
	for i, n := range []string{"mnt", "pid", "uts", "ipc", "net", "cgroup"} {
		want := must(os.Readlink("/proc/" + strconv.Itoa(k.PID()) + "/ns/" + n))
		if lines[i] != want {
			t.Errorf("%s: got %s, want %s", n, lines[i], want)
		}
	}
	out, _ = b.execAs(k, &specs.Process{
		Args: []string{"sh", "-c", "id -u; pwd; echo $A; grep -E 'CapEff|Seccomp:' /proc/self/status"},
		Env:  []string{"PATH=/bin", "A=b c"}, Cwd: "/tmp", User: specs.User{UID: 99},
	})
	if out != "99\n/tmp\nb c\nCapEff:\t0000000000000000\nSeccomp:\t2\n" {
		t.Errorf("got %q", out)
	}
	pids, err := k.Processes()
	if err != nil || len(pids) != 1 || pids[0] != k.PID() {
		t.Errorf("processes: %v, %v", pids, err)
	}
}

func TestExecInCgroupAndErrors(t *testing.T) {
	b := newBox(t)
	k := b.start(b.config("sleep", "100"))
	p, err := k.Exec(b.ctx(), ExecConfig{Process: &specs.Process{Args: []string{"/bin/sleep", "100"}, Cwd: "/"}})
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := k.Processes(); err != nil || len(pids) != 2 {
		t.Errorf("processes: %v, %v", pids, err)
	}
	own, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/cgroup")
	if err != nil || strings.Count(string(own), k.ID()) != strings.Count(string(must(os.ReadFile("/proc/"+strconv.Itoa(k.PID())+"/cgroup"))), k.ID()) {
		t.Errorf("exec is elsewhere: %s, %v", own, err)
	}
	if err := p.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if exit, err := p.Wait(b.ctx()); err != nil || exit.Signal != int(unix.SIGTERM) || exit.Code != 143 {
		t.Errorf("got %+v, %v", exit, err)
	}
	_, err = k.Exec(b.ctx(), ExecConfig{Process: &specs.Process{Args: []string{"nope"}, Env: []string{"PATH=/bin"}, Cwd: "/"}})
	var ce *ChildError
	if !errors.As(err, &ce) || ce.ExitCode() != 127 {
		t.Errorf("got %v", err)
	}
	if err := k.Kill(b.ctx()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Exec(b.ctx(), ExecConfig{Process: &specs.Process{Args: []string{"true"}, Cwd: "/"}}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("exec in a dead container: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestTerminal(t *testing.T) {
	b := newBox(t)
	c := b.config("sh", "-c", "tty; stty size; ls -l /dev/console | cut -c1; read line; echo got $line; stat -c %t:%T /dev/console")
	c.Spec.Process.Terminal = true
	c.Spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 77}
	k := b.start(c)
	console := k.Console()
	if _, err := console.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	out, _ := io.ReadAll(console) // ends with EIO
	for _, want := range []string{"/dev/pts/0", "33 77", "got hello", "88:0"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("want %q in %q", want, out)
		}
	}
}

func TestExecTerminalAndHangup(t *testing.T) {
	b := newBox(t)
	k := b.start(b.config("sleep", "100"))
	p, err := k.Exec(b.ctx(), ExecConfig{Process: &specs.Process{
		Args: []string{"sh", "-c", "tty; cat"}, Env: []string{"PATH=/bin"}, Cwd: "/", Terminal: true, User: specs.User{UID: 5},
	}})
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(p.Console()).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "/dev/pts/") {
		t.Errorf("got %q, %v", line, err)
	}
	p.Console().Close()
	if exit, err := p.Wait(b.ctx()); err != nil || exit.Signal != int(unix.SIGHUP) {
		t.Errorf("got %+v, %v", exit, err)
	}
}

func TestInitReapsAndForwards(t *testing.T) {
	b := newBox(t)
	c := b.config()
	c.Init = true
	// An orphan that dies must not stay a zombie.
	out := b.shWith(c, "test $$ != 1; (sh -c 'true & exec sleep 0.01' &) ; sleep 0.1; grep -l 'State:.Z' /proc/[0-9]*/status | wc -l; readlink /proc/1/exe; grep -E 'CapEff|Seccomp:|Threads' /proc/1/status")
	lines := strings.Split(out, "\n")
	if lines[0] != "0" || !strings.Contains(out, "CapEff:\t00000000a80425fb\nSeccomp:\t2") {
		t.Errorf("got %q", out)
	}
	c = b.config("sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done")
	c.Init = true
	r, w, _ := os.Pipe()
	defer r.Close()
	c.Stdout, c.Stderr = w, os.Stderr
	k := b.start(c)
	w.Close()
	bufio.NewReader(r).ReadString('\n')
	if err := k.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit, err := k.Wait(b.ctx()); err != nil || exit.Code != 42 {
		t.Errorf("got %+v, %v", exit, err)
	}
}

func TestInitReportsExecErrors(t *testing.T) {
	b := newBox(t)
	b.write(b.lower+"/bin/garbage", "\x00\x01\x02")
	os.Chmod(b.lower+"/bin/garbage", 0o755)
	c := b.config("garbage")
	c.Init = true
	k := b.create(c)
	var ce *ChildError
	if err := k.Start(b.ctx()); !errors.As(err, &ce) || ce.ExitCode() != 126 {
		t.Errorf("got %v", err)
	}
}

func TestSharedNamespaces(t *testing.T) {
	b := newBox(t)
	first := b.start(b.config("sleep", "100"))
	c := b.config()
	pid := strconv.Itoa(first.PID())
	for i, n := range c.Spec.Linux.Namespaces {
		switch n.Type {
		case specs.PIDNamespace:
			c.Spec.Linux.Namespaces[i].Path = "/proc/" + pid + "/ns/pid"
		case specs.IPCNamespace:
			c.Spec.Linux.Namespaces[i].Path = "/proc/" + pid + "/ns/ipc"
		}
	}
	b.exec(first, "sh", "-c", "echo shared > /dev/shm/f")
	for i := range c.Spec.Mounts {
		if c.Spec.Mounts[i].Destination == "/dev/shm" {
			c.Spec.Mounts[i] = specs.Mount{Type: "bind", Source: "/proc/" + pid + "/root/dev/shm", Destination: "/dev/shm", Options: []string{"rbind"}}
		}
	}
	out := b.shWith(c, "ps | grep -c 'sleep 100'; cat /dev/shm/f; test $$ != 1; readlink /proc/1/ns/ipc; readlink /proc/self/ns/ipc")
	lines := strings.Fields(out)
	if len(lines) != 4 || lines[0] == "0" || lines[1] != "shared" || lines[2] != lines[3] {
		t.Errorf("got %q", out)
	}
}

func TestHostPIDNamespace(t *testing.T) {
	b := newBox(t)
	c := b.config()
	c.Spec.Linux.Namespaces = c.Spec.Linux.Namespaces[1:]
	if out := b.shWith(c, "readlink /proc/self/ns/pid"); strings.TrimSpace(out) != must(os.Readlink("/proc/self/ns/pid")) {
		t.Errorf("got %q", out)
	}
}

func TestParallelBirths(t *testing.T) {
	b := newBox(t)
	var wait sync.WaitGroup
	for range 24 {
		c := b.config("sh", "-c", "exit 5")
		wait.Go(func() {
			k, err := b.rt.Create(b.ctx(), c)
			if err != nil {
				t.Error(err)
				return
			}
			if err := k.Start(b.ctx()); err != nil {
				t.Error(err)
			}
			if exit, err := k.Wait(b.ctx()); err != nil || exit.Code != 5 {
				t.Errorf("%+v, %v", exit, err)
			}
			if err := k.Delete(b.ctx()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestRefusals(t *testing.T) {
	b := newBox(t)
	for name, spoil := range map[string]func(*Config){
		"apparmor": func(c *Config) { c.Spec.Process.ApparmorProfile = "docker-default" },
		"selinux":  func(c *Config) { c.Spec.Process.SelinuxLabel = "x" },
		"hooks":    func(c *Config) { c.Spec.Hooks = &specs.Hooks{} },
		"id":       func(c *Config) { c.ID = "../../etc" },
		"cap":      func(c *Config) { c.Spec.Process.Capabilities.Bounding = []string{"CAP_FLY"} },
		"rlimit":   func(c *Config) { c.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_FUN"}} },
		"args":     func(c *Config) { c.Spec.Process.Args = nil },
		"zero":     func(c *Config) { c.Spec.Process.Args = []string{"a\x00b"} },
		"cgroup":   func(c *Config) { c.Spec.Linux.CgroupsPath = "/../x" },
		"userns": func(c *Config) {
			c.Spec.Linux.Namespaces = append(c.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		},
	} {
		c := b.config("true")
		spoil(&c)
		k, err := b.rt.Create(b.ctx(), c)
		if err == nil {
			k.Delete(b.ctx())
			t.Errorf("%s was accepted", name)
		}
		t.Log(err)
	}
}
