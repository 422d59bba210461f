package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devstack/engine/container/leaktest"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (b *box) write(path, text string) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

// shWith runs a script in the container c, which must exit with 0.
func (b *box) shWith(c Config, script string) string {
	b.Helper()
	c.Spec.Process.Args = []string{"sh", "-c", script}
	out, exit := b.run(c)
	if exit.Code != 0 {
		b.Fatalf("%s: exit %d: %s", script, exit.Code, out)
	}
	return out
}

func (b *box) bind(c Config, source, target string, options ...string) {
	c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Type: "bind", Source: source, Destination: target, Options: options})
}

func TestRootIsWritableAndImageIsNot(t *testing.T) {
	b := newBox(t)
	c := b.config()
	b.shWith(c, "echo hello > /etc/new")
	if got, err := os.ReadFile(filepath.Join(c.Root.Upper, "etc/new")); err != nil || string(got) != "hello\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(b.lower, "etc/new")); err == nil {
		t.Error("the layer was written to")
	}
}

func TestReadonlyRoot(t *testing.T) {
	b := newBox(t)
	c := b.config()
	c.Spec.Root = &specs.Root{Readonly: true}
	b.shWith(c, "! touch /etc/x 2>/dev/null && touch /dev/shm/x")
}

func TestReadonlyOverlayWithoutUpper(t *testing.T) {
	b := newBox(t)
	c := b.config()
	c.Root.Upper, c.Root.Work = "", ""
	c.Spec.Process.Cwd = "/"
	b.shWith(c, "! touch /etc/x 2>/dev/null")
}

func TestPlainDirectoryRoot(t *testing.T) {
	b := newBox(t)
	c := b.config()
	c.Root = RootFS{Dir: b.lower}
	b.shWith(c, "echo hi > /tmp/here")
	if _, err := os.Stat(filepath.Join(b.lower, "tmp/here")); err != nil {
		t.Error(err)
	}
}

func TestManyLongLayers(t *testing.T) {
	b := newBox(t)
	c := b.config()
	long := filepath.Join(b.TempDir(), strings.Repeat("a:", 100), strings.Repeat("b,", 60))
	for i := range 40 {
		dir := filepath.Join(long, randomHex(4))
		b.write(filepath.Join(dir, "who"), string(rune('A'+i)))
		c.Root.Lower = append([]string{dir}, c.Root.Lower...)
	}
	if out := b.shWith(c, "cat /who"); out != string(rune('A'+39)) {
		t.Errorf("topmost layer: %q", out)
	}
}

func TestBinds(t *testing.T) {
	b := newBox(t)
	dir := b.TempDir()
	b.write(dir+"/f", "text")
	c := b.config()
	b.bind(c, dir, "/rw", "rbind")
	b.bind(c, dir, "/ro", "rbind", "ro")
	b.bind(c, dir+"/f", "/deep/er/file", "bind", "ro")
	out := b.shWith(c, `cat /rw/f /deep/er/file; touch /rw/new; ! touch /ro/new2 2>/dev/null; ! echo x 2>/dev/null > /deep/er/file; ls /ro`)
	if out != "texttextf\nnew\n" {
		t.Errorf("got %q", out)
	}
}

// A read-only bind of a tree: "ro" covers the top, "rro" what is below too.
func TestRecursiveReadonly(t *testing.T) {
	b := newBox(t)
	dir := b.TempDir()
	b.inPrivateMounts(func() {
		for _, d := range []string{"", "/sub"} {
			os.MkdirAll(dir+d, 0o755)
			if err := unix.Mount("tmpfs", dir+d, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
		}
		c := b.config()
		b.bind(c, dir, "/ro", "rbind", "ro")
		b.bind(c, dir, "/rro", "rbind", "rro")
		b.bind(c, dir, "/plain", "bind")
		b.shWith(c, "! touch /ro/x 2>/dev/null; touch /ro/sub/x; ! touch /rro/sub/x 2>/dev/null && test ! -e /plain/sub/x")
	})
}

// inPrivateMounts mounts for real, in the machine's table, and cleans up.
func (b *box) inPrivateMounts(f func()) {
	b.Helper()
	b.Cleanup(func() {
		mounts, _ := os.ReadFile("/proc/self/mounts")
		lines := strings.Split(string(mounts), "\n")
		for i := len(lines) - 1; i >= 0; i-- {
			if fields := strings.Fields(lines[i]); len(fields) > 1 && strings.HasPrefix(fields[1], os.TempDir()+"/"+strings.SplitN(b.Name(), "/", 2)[0]) {
				unix.Unmount(fields[1], unix.MNT_DETACH)
			}
		}
	})
	f()
}

func TestSubmountsAreReadonly(t *testing.T) {
	b := newBox(t)
	b.inPrivateMounts(func() {
		at := b.lower + "/mnt"
		os.MkdirAll(at, 0o755)
		if err := unix.Mount("tmpfs", at, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		b.write(at+"/inner/f", "below")
		if err := unix.Mount("tmpfs", at+"/inner", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		b.write(at+"/inner/g", "deep")
		c := b.config()
		c.Root.Submounts = []string{at}
		if out := b.shWith(c, "cat /mnt/inner/g; ! touch /mnt/x 2>/dev/null && ! touch /mnt/inner/x 2>/dev/null"); out != "deep" {
			t.Errorf("got %q", out)
		}
	})
}

func TestTmpfsOptions(t *testing.T) {
	b := newBox(t)
	c := b.config()
	c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{
		Type: "tmpfs", Source: "tmpfs", Destination: "/run/t",
		Options: []string{"size=64k", "mode=1770", "uid=5", "noexec", "nosuid"},
	})
	out := b.shWith(c, "stat -c '%a %u' /run/t; dd if=/dev/zero of=/run/t/x bs=1k count=100 2>/dev/null; wc -c < /run/t/x; grep -o 'noexec' /proc/self/mountinfo | head -1")
	if !strings.HasPrefix(out, "1770 5\n65536\n") {
		t.Errorf("got %q", out)
	}
}

func TestShmSize(t *testing.T) {
	b := newBox(t)
	c := b.config()
	c.Spec.Mounts = DefaultMounts(128 << 10)
	if out := b.shWith(c, "grep /dev/shm /proc/mounts"); !strings.Contains(out, "size=128k") {
		t.Errorf("got %q", out)
	}
}

func TestSlavePropagation(t *testing.T) {
	b := newBox(t)
	dir := b.TempDir()
	b.inPrivateMounts(func() {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
			t.Fatal(err)
		}
		c := b.config("sleep", "100")
		b.bind(c, dir, "/slave", "rbind", "rslave")
		b.bind(c, dir, "/private", "rbind", "rprivate")
		k := b.create(c)
		if err := k.Start(b.ctx()); err != nil {
			t.Fatal(err)
		}
		os.Mkdir(dir+"/late", 0o755)
		if err := unix.Mount("tmpfs", dir+"/late", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		b.write(dir+"/late/f", "x")
		if out, exit := b.exec(k, "sh", "-c", "ls /slave/late; ls /private/late"); out != "f\n" || exit.Code != 0 {
			t.Errorf("got %q, %v", out, exit)
		}
	})
}

func TestFilesArePrivate(t *testing.T) {
	b := newBox(t)
	if err := os.Symlink("../run/systemd/resolve.conf", b.lower+"/etc/resolv.conf"); err != nil {
		t.Fatal(err)
	}
	c := b.config()
	c.Files = []File{
		{Path: "/etc/hostname", Data: []byte("web\n")},
		{Path: "/etc/resolv.conf", Data: []byte("nameserver 127.0.0.11\n")},
		{Path: "/etc/secret", Data: []byte("s"), Mode: 0o400, UID: 7},
	}
	out := b.shWith(c, "cat /etc/hostname /etc/resolv.conf; stat -c '%a %u' /etc/secret; echo more >> /etc/hostname; cat /etc/hostname")
	if out != "web\nnameserver 127.0.0.11\n400 7\nweb\nmore\n" {
		t.Errorf("got %q", out)
	}
	if got, _ := os.ReadFile(c.Root.Upper + "/etc/hostname"); len(got) != 0 {
		t.Errorf("upper has %q", got)
	}
}

func TestNothingInTheHostsMountTable(t *testing.T) {
	b := newBox(t)
	leaktest.Check(t, os.TempDir()+"/"+t.Name())
	k := b.create(b.config("sleep", "100"))
	if err := k.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(table), t.Name()) {
		t.Errorf("%v: the host sees a mount of ours", err)
	}
}

func TestPopulateThroughMountRoot(t *testing.T) {
	b := newBox(t)
	c := b.config()
	root, err := MountRoot(c.Root)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	fd, err := unix.Openat(int(root.Fd()), "from-outside", unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	c.RootMount = root
	b.shWith(c, "test -e /from-outside")
}

func TestDevices(t *testing.T) {
	b := newBox(t)
	c := b.config()
	mode := os.FileMode(0o640)
	gid := uint32(6)
	c.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/sub/kmsg2", Type: "c", Major: 1, Minor: 11, FileMode: &mode, GID: &gid}}
	out := b.shWith(c, "stat -c '%a %g %t:%T' /dev/sub/kmsg2; stat -c '%a %t:%T' /dev/null; echo x > /dev/null; readlink /dev/ptmx; ! cat /dev/sub/kmsg2 2>/dev/null")
	if out != "640 6 1:b\n666 1:3\npts/ptmx\n" {
		t.Errorf("got %q", out)
	}
}

func TestDeviceRules(t *testing.T) {
	b := newBox(t)
	c := b.config()
	// mknod is allowed, as in Docker; using what it makes is not.
	b.shWith(c, "mknod /tmp/mem c 1 1 && ! head -c 1 /tmp/mem 2>/dev/null && mknod /tmp/z c 1 5 && head -c 1 /tmp/z >/dev/null")
}

func TestCgroupView(t *testing.T) {
	b := newBox(t)
	out := b.sh("ls /sys/fs/cgroup; cat /proc/self/cgroup; ! mkdir /sys/fs/cgroup/x 2>/dev/null")
	if strings.Contains(out, "devstack") {
		t.Errorf("the host's path is visible: %q", out)
	}
}

func TestMountErrors(t *testing.T) {
	b := newBox(t)
	for name, m := range map[string]specs.Mount{
		"missing source": {Type: "bind", Source: "/does/not/exist", Destination: "/x", Options: []string{"rbind"}},
		"dir on file":    {Type: "bind", Source: "/tmp", Destination: "/bin/busybox", Options: []string{"rbind"}},
		"file on dir":    {Type: "bind", Source: "/etc/hostname", Destination: "/etc", Options: []string{"rbind"}},
		"bad option":     {Type: "tmpfs", Source: "tmpfs", Destination: "/x", Options: []string{"size=much"}},
		"bind option":    {Type: "bind", Source: "/tmp", Destination: "/x", Options: []string{"bind", "size=1"}},
		"bad type":       {Type: "nosuchfs", Source: "x", Destination: "/x"},
	} {
		c := b.config("true")
		c.Spec.Mounts = append(c.Spec.Mounts, m)
		k, err := b.rt.Create(b.ctx(), c)
		if err == nil {
			k.Delete(b.ctx())
			t.Errorf("%s: no error", name)
			continue
		}
		t.Logf("%s: %v", name, err)
	}
	if left := leaktest.Find(b.rt.root); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// rootfs:/ is the machine's own tree below an overlay whose upper is in it.
func TestTheMachineAsRoot(t *testing.T) {
	b := newBox(t)
	c := b.config()
	c.Root.Lower = []string{"/"}
	c.Files = []File{{Path: "/etc/resolv.conf", Data: []byte("mine")}}
	for _, target := range []string{"/run", "/tmp"} {
		c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: target, Options: []string{"nosuid", "nodev", "mode=1777"}})
	}
	host := must(os.ReadFile("/etc/resolv.conf"))
	c.Spec.Process.Env = []string{"PATH=/usr/bin:/bin"}
	out := b.shWith(c, "cat /etc/resolv.conf; touch /usr/written-by-container; ls -A /tmp; ls -A /run; ls -d /proc/[0-9]* | head -n 1; id -u")
	if out != "mine/proc/1\n0\n" {
		t.Errorf("got %q", out)
	}
	if _, err := os.Stat("/usr/written-by-container"); err == nil {
		t.Error("the machine was written to")
	}
	if after := must(os.ReadFile("/etc/resolv.conf")); string(after) != string(host) {
		t.Error("the machine's resolv.conf has changed")
	}
}
