package container

import (
	"context"
	"crypto/rand"
	"debug/elf"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// box is a test's runtime with a busybox image.
type box struct {
	*testing.T
	rt    *Runtime
	lower string
}

func newBox(t *testing.T) *box {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	b := &box{T: t, lower: busybox(t)}
	var err error
	if b.rt, err = NewRuntime(Options{CgroupRoot: "devstack-" + randomHex(3), Exe: staticChild(t)}); err != nil {
		t.Fatal(err)
	}
	if err := b.rt.nursery.ready(); err != nil { // it is not left behind by a container
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.rt.Sweep(context.Background(), func(string) bool { return false }); err != nil {
			t.Error(err)
		}
		b.rt.Close()
	})
	return b
}

// staticChild returns "" if this test can be its own child.
func staticChild(t *testing.T) string {
	t.Helper()
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Section(".interp") == nil {
		return ""
	}
	exe := filepath.Join(os.TempDir(), "devstack-test-child-"+strconv.Itoa(os.Getpid()))
	if _, err := os.Stat(exe); err == nil {
		return exe
	}
	build := exec.Command("go", "build", "-o", exe, "./testdata/child")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return exe
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.Remove(filepath.Join(os.TempDir(), "devstack-test-child-"+strconv.Itoa(os.Getpid())))
	os.Exit(code)
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// busybox makes a root filesystem of nothing but a static busybox.
func busybox(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"bin", "etc", "tmp", "dev", "proc", "sys"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs busybox-static")
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("sh true false cat ls echo id sleep setsid mount grep stat hostname readlink kill touch mkdir env wc tty stty ps dd ln cut head sed test mknod nproc printf find ulimit od") {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// config is a container as `devstack up` makes it: Docker's defaults, on an
// overlay of the busybox image.
func (b *box) config(args ...string) Config {
	b.Helper()
	id := randomHex(32)
	dir := b.TempDir()
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	caps := DefaultCapabilities()
	spec := &specs.Spec{
		Process: &specs.Process{
			Args: args, Env: []string{"PATH=/bin"}, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Hostname: "box",
		Mounts:   DefaultMounts(0),
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace},
				{Type: specs.MountNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.CgroupNamespace},
			},
			CgroupsPath:   b.rt.root + "/test/" + id,
			Resources:     &specs.LinuxResources{Devices: DefaultDeviceRules()},
			MaskedPaths:   DefaultMaskedPaths(),
			ReadonlyPaths: DefaultReadonlyPaths(),
		},
	}
	var err error
	if spec.Linux.Seccomp, err = DefaultSeccomp(spec); err != nil {
		b.Fatal(err)
	}
	return Config{ID: id, Spec: spec, Root: RootFS{Lower: []string{b.lower}, Upper: upper, Work: work}}
}

func (b *box) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	b.Cleanup(cancel)
	return ctx
}

// create makes c and deletes it at the end of the test.
func (b *box) create(c Config) *Container {
	b.Helper()
	k, err := b.rt.Create(b.ctx(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := k.Delete(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return k
}

// run returns what the container printed and how it ended.
func (b *box) run(c Config) (string, Exit) {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	c.Stdout, c.Stderr = w, w
	k := b.create(c)
	w.Close()
	if err := k.Start(b.ctx()); err != nil {
		b.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		b.Fatal(err)
	}
	exit, err := k.Wait(b.ctx())
	if err != nil {
		b.Fatal(err)
	}
	return string(out), exit
}

// sh runs a shell script in a default container.
func (b *box) sh(script string) string {
	b.Helper()
	out, exit := b.run(b.config("sh", "-c", script))
	if exit.Code != 0 {
		b.Fatalf("%s: exit %d: %s", script, exit.Code, out)
	}
	return out
}

func TestRun(t *testing.T) {
	b := newBox(t)
	out := b.sh("echo $$; hostname; pwd; ls /dev; cat /proc/self/mountinfo")
	if !strings.HasPrefix(out, "1\nbox\n/\n") {
		t.Errorf("got %s", out)
	}
}

func TestExit(t *testing.T) {
	b := newBox(t)
	if _, exit := b.run(b.config("sh", "-c", "exit 7")); exit != (Exit{Code: 7}) {
		t.Errorf("got %+v", exit)
	}
	c := b.config("sh", "-c", "kill -9 $$")
	c.Spec.Linux.Namespaces = c.Spec.Linux.Namespaces[1:] // pid 1 cannot kill itself
	if _, exit := b.run(c); exit != (Exit{Code: 137, Signal: 9}) {
		t.Errorf("got %+v", exit)
	}
}

func TestExec(t *testing.T) {
	b := newBox(t)
	k := b.create(b.config("sleep", "100"))
	if err := k.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	r, w, _ := os.Pipe()
	p, err := k.Exec(b.ctx(), ExecConfig{Stdout: w, Stderr: w, Process: &specs.Process{
		Args: []string{"sh", "-c", "hostname; ps; cat /proc/self/cgroup; exit 3"}, Env: []string{"PATH=/bin"}, Cwd: "/tmp",
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, _ := io.ReadAll(r)
	exit, err := p.Wait(b.ctx())
	if err != nil || exit.Code != 3 || !strings.HasPrefix(string(out), "box\n") {
		t.Errorf("got %v %+v %s", err, exit, out)
	}
}

func BenchmarkTrue(bm *testing.B) {
	t := &testing.T{}
	b := newBox(t)
	defer b.rt.Close()
	c := b.config("/bin/true")
	for bm.Loop() {
		k, err := b.rt.Create(context.Background(), c)
		if err != nil {
			bm.Fatal(err)
		}
		if err := k.Start(context.Background()); err != nil {
			bm.Fatal(err)
		}
		k.Wait(context.Background())
		bm.StopTimer()
		if err := k.Delete(context.Background()); err != nil {
			bm.Fatal(err)
		}
		bm.StartTimer()
	}
}
