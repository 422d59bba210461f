package apply_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/watch"
	"devstack/engine/watch/apply"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), mode))
	must(t, os.Chmod(path, mode))
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

func root(t testing.TB, dir string) *apply.Root {
	t.Helper()
	r, err := apply.Open(dir)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

func op(source, target string) watch.Op { return watch.Op{Source: source, Target: target} }

func do(t testing.TB, r *apply.Root, ops ...watch.Op) apply.Result {
	t.Helper()
	res, err := r.Apply(t.Context(), ops, apply.Options{})
	must(t, err)
	return res
}

func TestReplace(t *testing.T) {
	host, box := t.TempDir(), t.TempDir()
	r := root(t, box)
	write(t, host+"/run", "#!/bin/sh", 0o755)
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	must(t, os.Chtimes(host+"/run", old, old))
	write(t, box+"/app/run", "old", 0o600)
	must(t, os.Chown(box+"/app/run", 1000, 1001))
	must(t, os.Chown(box+"/app", 2000, 2001))
	write(t, host+"/large", strings.Repeat("0123456789", 50_000), 0o640)
	must(t, os.Symlink("/etc/passwd", host+"/link"))
	res := do(t, r, op(host+"/run", "/app/run"), op(host+"/large", "/app/new/deep/large"), op(host+"/link", "/app/link"))
	if res.Written != 3 || res.Bytes != 500_009 {
		t.Errorf("result %+v", res)
	}
	for path, want := range map[string]struct {
		mode     os.FileMode
		uid, gid uint32
	}{
		"/app/run":            {0o755, 1000, 1001},                  // of the file that was there
		"/app/new/deep/large": {0o640, 2000, 2001},                  // of the directory
		"/app/new/deep":       {os.ModeDir | 0o755, 2000, 2001},     // made on the way
		"/app/link":           {os.ModeSymlink | 0o777, 2000, 2001}, // as it is
	} {
		info, err := os.Lstat(box + path)
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		if info.Mode() != want.mode || st.Uid != want.uid || st.Gid != want.gid {
			t.Errorf("%s: %v %d:%d, not %v", path, info.Mode(), st.Uid, st.Gid, want)
		}
	}
	if info, _ := os.Stat(box + "/app/run"); !info.ModTime().Equal(old) {
		t.Errorf("time %v", info.ModTime())
	}
	if read(t, box+"/app/new/deep/large") != read(t, host+"/large") {
		t.Error("large differs")
	}

	t.Log("the path of a rule is followed")
	write(t, host+"/elsewhere", "content", 0o644)
	must(t, os.Symlink("elsewhere", host+"/rule"))
	follow := watch.Op{Source: host + "/rule", Target: "/app/rule", Follow: true}
	do(t, r, follow)
	if info, err := os.Lstat(box + "/app/rule"); err != nil || !info.Mode().IsRegular() || read(t, box+"/app/rule") != "content" {
		t.Errorf("%v, %v", info, err)
	}
	must(t, os.Remove(host+"/elsewhere"))
	do(t, r, follow)
	if _, err := os.Lstat(box + "/app/rule"); err == nil {
		t.Error("what the path of a rule led to is gone, and its copy is not")
	}

	t.Log("what is equal is left alone if asked")
	before, _ := os.Stat(box + "/app/run")
	res, err := r.Apply(t.Context(), []watch.Op{op(host+"/run", "/app/run"), op(host+"/large", "/app/new/deep/large"), op(host+"/link", "/app/link")}, apply.Options{Compare: true})
	must(t, err)
	if after, _ := os.Stat(box + "/app/run"); res.Same != 3 || !os.SameFile(before, after) {
		t.Errorf("result %+v", res)
	}

	t.Log("one kind in place of another")
	must(t, os.Remove(host+"/run"))
	write(t, host+"/run/file", "x", 0o644)
	must(t, os.RemoveAll(host+"/link"))
	write(t, host+"/link", "file now", 0o644)
	do(t, r, op(host+"/run", "/app/run"), op(host+"/run/file", "/app/run/file"), op(host+"/link", "/app/link"))
	must(t, os.RemoveAll(host+"/run"))
	write(t, host+"/run", "file again", 0o644)
	do(t, r, op(host+"/run", "/app/run"), op(host+"/run/file", "/app/run/file"))
	if read(t, box+"/app/run") != "file again" || read(t, box+"/app/link") != "file now" {
		t.Error("kinds did not change")
	}

	t.Log("no temporary file stays, not even one of a process that was killed")
	entries, err := os.ReadDir(box + "/app")
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".devstack") {
			t.Error(e.Name(), " stayed")
		}
	}
}

func TestRemove(t *testing.T) {
	host, box := t.TempDir(), t.TempDir()
	r := root(t, box)
	write(t, box+"/app/pkg/a.py", "", 0o644)
	write(t, box+"/app/pkg/__pycache__/a.pyc", "", 0o644)
	write(t, box+"/app/web/index.js", "", 0o644)
	write(t, box+"/app/web/node_modules/x/y.js", "", 0o644)
	write(t, box+"/app/data/mounted/precious", "", 0o644)
	must(t, unix.Mount("tmpfs", box+"/app/data/mounted", "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(box+"/app/data/mounted", 0)) })
	write(t, box+"/app/data/mounted/dir/precious", "", 0o644)
	keep := func(rel string) bool { return rel == "node_modules" }
	res := do(t, r,
		op(host+"/pkg", "/app/pkg"), op(host+"/pkg/a.py", "/app/pkg/a.py"), op(host+"/never", "/app/never/was"),
		watch.Op{Source: host + "/web", Target: "/app/web", Keep: keep}, op(host+"/data", "/app/data"),
	)
	if res.Removed != 4 {
		t.Errorf("result %+v", res)
	}
	for path, want := range map[string]bool{
		"/app": true, "/app/pkg": false, "/app/web/index.js": false, "/app/web/node_modules/x/y.js": true, "/app/data/mounted/dir/precious": true,
	} {
		if _, err := os.Stat(box + path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestEscape has the container make links that lead out of it.
func TestEscape(t *testing.T) {
	host, out, box := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, host+"/f", "evil", 0o644)
	write(t, out+"/f", "safe", 0o644)
	write(t, out+"/dir/f", "safe", 0o644)
	must(t, os.Symlink(out, box+"/absolute"))
	must(t, os.Symlink(strings.Repeat("../", 30)+out, box+"/relative"))
	must(t, os.Symlink(out+"/f", box+"/file"))
	must(t, os.MkdirAll(box+"/app", 0o755))
	must(t, os.Symlink(out+"/dir", box+"/app/dir"))
	must(t, os.MkdirAll(box+out, 0o755)) // where the links lead in the container
	must(t, os.Mkdir(box+"/proc", 0o755))
	must(t, unix.Mount("/proc", box+"/proc", "", unix.MS_BIND|unix.MS_REC, ""))
	t.Cleanup(func() { must(t, unix.Unmount(box+"/proc", unix.MNT_DETACH)) })
	must(t, os.Symlink("/proc/self/root", box+"/magic"))
	r := root(t, box)
	res, err := r.Apply(t.Context(), []watch.Op{
		op(host+"/f", "/absolute/f"), op(host+"/f", "/relative/f"), op(host+"/f", "/file"), op(host+"/f", "/../../../..//up"),
		op(host+"/gone", "/absolute/dir"), op(host+"/gone", "/app"), op(host+"/f", "/magic"+out+"/f"),
	}, apply.Options{})
	if err == nil || !strings.Contains(err.Error(), "write /magic") || res.Written != 4 {
		t.Errorf("result %+v, error %v", res, err)
	}
	if read(t, out+"/f") != "safe" || read(t, out+"/dir/f") != "safe" {
		t.Error("something outside was written")
	}
	if read(t, box+"/file") != "evil" || read(t, box+"/up") != "evil" || read(t, box+out+"/f") != "evil" {
		t.Error("what is inside was not")
	}
	if _, err := os.Lstat(box + "/app"); err == nil {
		t.Error("/app is still there")
	}
}

func TestMounts(t *testing.T) {
	host, box := t.TempDir(), t.TempDir()
	write(t, host+"/f", "new", 0o644)
	write(t, host+"/bound", "old", 0o600)
	write(t, box+"/bound", "", 0o644)
	must(t, unix.Mount(host+"/bound", box+"/bound", "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(box+"/bound", 0)) })
	must(t, os.Mkdir(box+"/ro", 0o755))
	must(t, unix.Mount("tmpfs", box+"/ro", "tmpfs", unix.MS_RDONLY, ""))
	t.Cleanup(func() { must(t, unix.Unmount(box+"/ro", 0)) })
	r := root(t, box)

	t.Log("a file that is a mount is written in place")
	do(t, r, op(host+"/f", "/bound"))
	if read(t, host+"/bound") != "new" {
		t.Error("bound was not written")
	}

	t.Log("what is read-only says so, and the rest is done")
	res, err := r.Apply(t.Context(), []watch.Op{op(host+"/f", "/ro/f"), op(host+"/f", "/rw/f"), op(host, "/ro/dir")}, apply.Options{})
	var e *apply.Error
	if !errors.As(err, &e) || !errors.Is(err, unix.EROFS) || !strings.Contains(e.Hint, "read_only") || e.Target != "/ro/dir" && e.Target != "/ro/f" {
		t.Errorf("error %v, hint %v", err, e)
	}
	if res.Written != 1 || read(t, box+"/rw/f") != "new" {
		t.Errorf("result %+v", res)
	}
}

// BenchmarkFile copies one small file into a container's overlay, where it is
// in a lower layer at first.
func BenchmarkFile(b *testing.B) {
	host, base := b.TempDir(), b.TempDir()
	write(b, host+"/f", strings.Repeat("line\n", 400), 0o644)
	for i := range 10 {
		write(b, fmt.Sprintf("%s/lower/app/src/f%d", base, i), "old", 0o644)
	}
	for _, d := range []string{"upper", "work", "root"} {
		must(b, os.Mkdir(base+"/"+d, 0o755))
	}
	must(b, unix.Mount("overlay", base+"/root", "overlay", 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base)))
	b.Cleanup(func() { must(b, unix.Unmount(base+"/root", unix.MNT_DETACH)) })
	r := root(b, base+"/root")
	for i := 0; b.Loop(); i++ {
		do(b, r, op(host+"/f", fmt.Sprintf("/app/src/f%d", i%10)))
	}
}

func TestUnreadable(t *testing.T) {
	read := &apply.Error{Op: "read", Target: "/host/a", Err: unix.EACCES}
	other := &apply.Error{Op: "write", Target: "/a\nb", Err: unix.EACCES}
	faults, rest := apply.Unreadable(errors.Join(read, other))
	if len(faults) != 1 || faults[0] != read || !errors.Is(rest, other) {
		t.Errorf("%v, %v", faults, rest)
	}
	if got := rest.Error(); got != `write "/a\nb": permission denied` {
		t.Error(got)
	}
	if faults, rest = apply.Unreadable(errors.Join(read, read)); len(faults) != 2 || rest != nil {
		t.Errorf("%v, %v", faults, rest)
	}
	if faults, rest = apply.Unreadable(nil); faults != nil || rest != nil {
		t.Errorf("%v, %v", faults, rest)
	}
}

// The rule says what modes become; what has them already is left alone.
func TestPerm(t *testing.T) {
	host, box := t.TempDir(), t.TempDir()
	r := root(t, box)
	write(t, host+"/a/new", "1", 0o600)
	write(t, host+"/a/old", "2", 0o600)
	must(t, os.Chmod(host+"/a", 0o700))
	write(t, box+"/a/old", "2", 0o755)
	must(t, os.Chmod(box+"/a", 0o777))
	perm := func(mode, there uint32, _ bool) uint32 {
		if there != 0 {
			return there
		}
		return mode | 0o044
	}
	var ops []watch.Op
	for _, path := range []string{"/a", "/a/new", "/a/old"} {
		ops = append(ops, watch.Op{Source: host + path, Target: path, Perm: perm})
	}
	res, err := r.Apply(t.Context(), ops, apply.Options{Compare: true})
	must(t, err)
	if res.Written != 1 || res.Made != 0 || res.Same != 2 {
		t.Errorf("result %+v", res)
	}
	write(t, host+"/a/old", "changed", 0o600)
	do(t, r, ops...)
	for path, want := range map[string]os.FileMode{"/a": os.ModeDir | 0o777, "/a/new": 0o644, "/a/old": 0o755} {
		info, err := os.Lstat(box + path)
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s: %v, not %v", path, info.Mode(), want)
		}
	}
	if read(t, box+"/a/old") != "changed" {
		t.Error("the content did not come")
	}
}
