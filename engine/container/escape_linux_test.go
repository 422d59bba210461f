package container

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The engine's binary cannot be written to through /proc/PID/exe, neither while
// a process of ours enters a container nor where our reaper stays.
func TestCVE_2019_5736(t *testing.T) {
	b := newBox(t)
	fd, err := unix.Open(fdPath(b.rt.nursery.exe), unix.O_WRONLY, 0)
	if err == nil {
		unix.Close(fd)
		t.Error("the child's executable can be opened for writing")
	}
	if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ETXTBSY) {
		t.Errorf("got %v", err)
	}
	sealed, err := sealedExe("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer sealed.Close()
	if fd, err := unix.Open(fdPath(sealed), unix.O_WRONLY, 0); err == nil {
		if _, err := unix.Write(fd, []byte("x")); err == nil {
			t.Error("the sealed copy can be written to")
		}
		unix.Close(fd)
	}
	c := b.config()
	c.Init = true
	b.shWith(c, "! sh -c 'echo x > /proc/1/exe' 2>/dev/null")

	// The attack proper: the command is a link to /proc/self/exe.
	os.Symlink("/proc/self/exe", b.lower+"/bin/evil")
	k, err := b.rt.Create(b.ctx(), b.config("/bin/evil"))
	if err == nil {
		err = k.Start(b.ctx())
		k.Delete(b.ctx())
	}
	t.Log(err)
}

// No descriptor of ours reaches the container, and no working directory leads
// outside through one.
func TestCVE_2024_21626(t *testing.T) {
	b := newBox(t)
	c := b.config("/bin/ls", "/proc/self/fd")
	if out, _ := b.run(c); out != "0\n1\n2\n3\n" { // 3 is ls' own
		t.Errorf("descriptors: %q", out)
	}
	k := b.start(b.config("sleep", "100"))
	if out, _ := b.exec(k, "/bin/ls", "/proc/self/fd"); out != "0\n1\n2\n3\n" {
		t.Errorf("descriptors of exec: %q", out)
	}
	for n := range 16 {
		cwd := "/proc/self/fd/" + strconv.Itoa(n)
		c := b.config("sh", "-c", "ls ../../..; pwd")
		c.Spec.Process.Cwd = cwd
		c.Spec.Process.Args = []string{"/bin/stat", "-c", "%i %d", "."}
		if k, err := b.rt.Create(b.ctx(), c); err == nil {
			err := k.Start(b.ctx())
			k.Delete(b.ctx())
			t.Errorf("create in %s: started, %v", cwd, err)
		}
		p, err := k.Exec(b.ctx(), ExecConfig{Process: &specs.Process{Args: []string{"/bin/true"}, Cwd: cwd}})
		if err == nil {
			p.Wait(b.ctx())
			t.Errorf("exec in %s", cwd)
		}
	}
}

// A mount target that is a link out of the root stays inside.
func TestCVE_2021_30465(t *testing.T) {
	b := newBox(t)
	outside := b.TempDir()
	source := b.TempDir()
	b.write(source+"/f", "mounted")
	for _, link := range []string{outside, "../../../../../../.." + outside, "/proc/self/root" + outside} {
		os.Remove(b.lower + "/link")
		if err := os.Symlink(link, b.lower+"/link"); err != nil {
			t.Fatal(err)
		}
		c := b.config("sh", "-c", "cat /link/sub/f")
		b.bind(c, source, "/link/sub", "rbind")
		k, err := b.rt.Create(b.ctx(), c)
		if err == nil {
			k.Start(b.ctx())
			k.Delete(b.ctx())
		}
		if entries, _ := os.ReadDir(outside); len(entries) != 0 {
			t.Errorf("%s: made %v outside of the root", link, entries)
		}
	}
}

// The race of CVE-2021-30465: while containers start, another one that shares
// the volume swaps a directory for a link to the host's tree.
func TestMountRace(t *testing.T) {
	b := newBox(t)
	volume := b.TempDir()
	outside := b.TempDir()
	source := b.TempDir()
	os.MkdirAll(volume+"/dir", 0o755)
	os.Symlink("../../../../../../../../.."+outside, volume+"/link")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, volume+"/dir", unix.AT_FDCWD, volume+"/link", unix.RENAME_EXCHANGE)
			}
		}
	}()
	for range 40 {
		c := b.config("true")
		b.bind(c, volume, "/vol", "rbind")
		b.bind(c, source, "/vol/dir/below", "rbind")
		k, err := b.rt.Create(b.ctx(), c)
		if err == nil {
			k.Delete(b.ctx())
		}
		if entries, _ := os.ReadDir(outside); len(entries) != 0 {
			t.Fatalf("%v was made outside of the root", entries)
		}
	}
	close(stop)
	<-done
}

// Masking uses the host's /dev/null by descriptor: a /dev/null of the image that
// is a link does not decide what is mounted.
func TestCVE_2025_31133(t *testing.T) {
	b := newBox(t)
	c := b.config()
	var mounts []specs.Mount
	for _, m := range c.Spec.Mounts { // /dev is the image's
		if !strings.HasPrefix(m.Destination, "/dev") {
			mounts = append(mounts, m)
		}
	}
	c.Spec.Mounts = mounts
	os.Symlink("/proc/sys/kernel/core_pattern", b.lower+"/dev/null")
	out := b.shWith(c, "stat -c %F /proc/keys /proc/timer_list; wc -c < /proc/keys; ! echo x > /proc/sys/kernel/core_pattern")
	if !strings.HasPrefix(out, "character special file\ncharacter special file\n0\n") {
		t.Errorf("got %q", out)
	}
}

// A masked path of the image that is a link is resolved inside of the root.
func TestMaskedLink(t *testing.T) {
	b := newBox(t)
	outside := b.TempDir()
	b.write(outside+"/f", "host")
	os.Symlink(outside, b.lower+"/secret")
	os.Symlink("/proc/self/root/etc", b.lower+"/magic")
	c := b.config()
	c.Spec.Linux.MaskedPaths = append(c.Spec.Linux.MaskedPaths, "/secret", "/etc/shadow/none")
	c.Spec.Linux.ReadonlyPaths = append(c.Spec.Linux.ReadonlyPaths, "/secret")
	b.shWith(c, "true")
	if _, err := os.ReadFile(outside + "/f"); err != nil {
		t.Error(err)
	}
}

func TestMaskedAndReadonly(t *testing.T) {
	b := newBox(t)
	b.write(b.lower+"/data/file", "secret")
	b.write(b.lower+"/data/dir/x", "secret")
	c := b.config()
	c.Spec.Linux.MaskedPaths = append(c.Spec.Linux.MaskedPaths, "/data/file", "/data/dir")
	c.Spec.Linux.ReadonlyPaths = append(c.Spec.Linux.ReadonlyPaths, "/etc")
	out := b.shWith(c, `cat /data/file; ls /data/dir; ! touch /etc/x 2>/dev/null; ! touch /data/dir/y 2>/dev/null
		! echo 1 2>/dev/null > /proc/sys/kernel/printk; ! echo b 2>/dev/null > /proc/sysrq-trigger; ls /sys/firmware; wc -c < /proc/keys
		! mount -t tmpfs x /tmp 2>/dev/null; ! mount -o remount,rw /proc/sys 2>/dev/null`)
	if out != "0\n" {
		t.Errorf("got %q", out)
	}
}

// The terminal is mounted on the /dev/console of the container, whatever the
// image has put there.
func TestCVE_2025_52565(t *testing.T) {
	b := newBox(t)
	outside := b.TempDir()
	b.write(outside+"/victim", "host")
	c := b.config("sh", "-c", "stat -c %t:%T /dev/console")
	var mounts []specs.Mount
	for _, m := range c.Spec.Mounts {
		if m.Destination != "/dev" {
			mounts = append(mounts, m)
		}
	}
	c.Spec.Mounts = mounts
	os.Symlink("/proc/sysrq-trigger", b.lower+"/dev/console")
	c.Spec.Process.Terminal = true
	k, err := b.rt.Create(b.ctx(), c)
	if err == nil {
		// The link leads into our own procfs, which can only be the container's:
		// what matters is that the host's file is not what was mounted on.
		k.Start(b.ctx())
		k.Delete(b.ctx())
	}
	t.Log(err)
	os.Remove(b.lower + "/dev/console")
	os.Symlink("../../../../../../.."+outside+"/victim", b.lower+"/dev/console")
	c2 := b.config("true")
	c2.Spec.Mounts, c2.Spec.Process.Terminal = mounts, true
	if k, err := b.rt.Create(b.ctx(), c2); err == nil {
		k.Delete(b.ctx())
	}
	if got, _ := os.ReadFile(outside + "/victim"); string(got) != "host" {
		t.Errorf("the host's file is now %q", got)
	}

	// A devpts that is not one: /dev/pts/ptmx is a link to the host's.
	c3 := b.config("true")
	var none []specs.Mount
	for _, m := range c3.Spec.Mounts {
		if !strings.HasPrefix(m.Destination, "/dev") {
			none = append(none, m)
		}
	}
	os.MkdirAll(b.lower+"/dev/pts", 0o755)
	os.Symlink("/proc/sys/kernel/core_pattern", b.lower+"/dev/pts/ptmx")
	c3.Spec.Mounts, c3.Spec.Process.Terminal = none, true
	if k, err := b.rt.Create(b.ctx(), c3); err == nil {
		k.Delete(b.ctx())
		t.Error("a link was taken for a terminal")
	}
}

// Writes below /proc go to our own procfs: a spec that mounts something else
// over it cannot redirect them.
func TestCVE_2025_52881(t *testing.T) {
	b := newBox(t)
	fake := b.TempDir()
	b.write(fake+"/msgmax", "")
	b.write(fake+"/oom_score_adj", "")
	before := string(must(os.ReadFile("/proc/sys/kernel/msgmax")))
	c := b.config("true")
	c.Spec.Linux.Sysctl = map[string]string{"kernel.msgmax": "8001"}
	score := 100
	c.Spec.Process.OOMScoreAdj = &score
	b.bind(c, fake, "/proc/sys/kernel", "rbind")
	k, err := b.rt.Create(b.ctx(), c)
	if err == nil {
		k.Delete(b.ctx())
		t.Error("the write went over a mount")
	}
	t.Log(err)
	if got := must(os.ReadFile(fake + "/msgmax")); len(got) != 0 {
		t.Errorf("the write was redirected: %q", got)
	}

	// A /proc that is not one: the image's, with a link in it.
	c = b.config()
	var mounts []specs.Mount
	for _, m := range c.Spec.Mounts {
		if m.Destination != "/proc" {
			mounts = append(mounts, m)
		}
	}
	c.Spec.Mounts = mounts
	c.Spec.Linux.Sysctl = map[string]string{"kernel.msgmax": "8002"}
	b.write(b.lower+"/proc/sys/kernel/msgmax", "fake")
	b.shWith(c, "grep -q fake /proc/sys/kernel/msgmax")
	if after := string(must(os.ReadFile("/proc/sys/kernel/msgmax"))); after != before {
		t.Errorf("the host's setting is %s", after)
	}
}

// A process of ours that enters a container holds our privileges and must not
// be traceable from inside (CVE-2016-9962), even by CAP_SYS_PTRACE.
func TestEnteringProcessIsNotDumpable(t *testing.T) {
	b := newBox(t)
	c := b.config("sh", "-c", `while :; do for p in /proc/[0-9]*; do
		[ $p = /proc/1 ] && continue
		x=$(readlink $p/exe 2>/dev/null) && case $x in *busybox) ;; *) echo "$p is $x" ;; esac
		done; done`)
	ptrace := append(DefaultCapabilities(), "CAP_SYS_PTRACE")
	c.Spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: ptrace, Effective: ptrace, Permitted: ptrace}
	r, w, _ := os.Pipe()
	c.Stdout = w
	k := b.start(c)
	w.Close()
	for range 30 {
		b.exec(k, "true")
	}
	k.Kill(b.ctx())
	buf := make([]byte, 4096)
	n, _ := r.Read(buf)
	r.Close()
	// With CAP_SYS_PTRACE the link can be read; it must lead to the protected
	// executable and never be writable.
	text := string(buf[:n])
	text = text[:strings.LastIndexByte(text, '\n')+1] // the last line may be cut short
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasSuffix(line, filepath.Base(b.rt.nursery.exe.Name())) && !strings.Contains(line, "memfd") {
			t.Errorf("seen: %s", line)
		}
	}
}
