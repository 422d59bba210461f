package notify_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"devstack/engine/watch"
	"devstack/engine/watch/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open watches a directory until the test ends.
func open(t testing.TB, o notify.Options) *notify.Watcher {
	t.Helper()
	w, err := notify.Open(context.Background(), o)
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	return w
}

// next is the next batch, as text.
func next(t testing.TB, w *notify.Watcher) (watch.Batch, string) {
	t.Helper()
	select {
	case b, ok := <-w.Batches():
		if !ok {
			t.Fatal("the watcher ended")
		}
		var out []string
		for _, c := range b.Changes {
			out = append(out, fmt.Sprint(filepath.Base(c.Path), " ", c.Event))
		}
		return b, strings.Join(out, ", ")
	case <-time.After(10 * time.Second):
		t.Fatal("no batch")
	}
	panic("unreachable")
}

// expect reads a batch and commits it.
func expect(t *testing.T, w *notify.Watcher, want string) watch.Batch {
	t.Helper()
	b, got := next(t, w)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("batch (-want +got):\n%s", d)
	}
	w.Commit(b)
	return b
}

func roots(dirs ...string) []watch.Root {
	var out []watch.Root
	for _, d := range dirs {
		out = append(out, watch.Root{Path: d, Skip: skipGit})
	}
	return out
}

func TestChanges(t *testing.T) {
	dir := memory(t)
	write(t, dir+"/a", "1")
	write(t, dir+"/b", "1")
	w := open(t, notify.Options{Roots: roots(dir)})

	t.Log("what is not different is not a change")
	now := time.Now()
	must(t, os.Chtimes(dir+"/a", now, now))
	write(t, dir+"/a", "1")
	write(t, dir+"/temporary", "x")
	must(t, os.Remove(dir+"/temporary"))
	must(t, os.Rename(dir+"/a", dir+"/a~"))
	must(t, os.Rename(dir+"/a~", dir+"/a"))
	write(t, dir+"/mark", "1")
	expect(t, w, "mark created")

	t.Log("two writes in one tick of the clock, of one size")
	for i := range 50 {
		write(t, dir+"/b", fmt.Sprint(i%10))
		expect(t, w, "b changed")
	}

	t.Log("modes, kinds, directories")
	must(t, os.Chmod(dir+"/a", 0o755))
	expect(t, w, "a mode changed")
	must(t, os.Remove(dir+"/a"))
	must(t, os.Symlink("b", dir+"/a"))
	expect(t, w, "a created")
	write(t, dir+"/sub/one", "1")
	expect(t, w, "sub created, one created")
	must(t, os.RemoveAll(dir+"/sub"))
	expect(t, w, "sub removed, one removed")

	t.Log("a batch that is not taken takes in what follows")
	write(t, dir+"/c", "1")
	write(t, dir+"/b", "first")
	w.Rescan() // so that it is ready
	write(t, dir+"/b", "second")
	must(t, os.Remove(dir+"/c"))
	for {
		b, got := next(t, w)
		w.Commit(b)
		if !strings.Contains(got, "c created") {
			break // the removal of c was in time, or came now
		}
	}
}

// TestFileRoot watches files by themselves, which editors replace.
func TestFileRoot(t *testing.T) {
	dir := memory(t)
	write(t, dir+"/compose.yaml", "1")
	write(t, dir+"/beside", "1")
	w := open(t, notify.Options{Roots: []watch.Root{{Path: dir + "/.env"}, {Path: dir + "/compose.yaml"}, {Path: dir + "/later/deep/file"}}})
	vimSave(t, dir+"/compose.yaml", "2")
	expect(t, w, "compose.yaml changed")
	write(t, dir+"/beside", "2")
	write(t, dir+"/.env", "A=1")
	expect(t, w, ".env created")
	write(t, dir+"/.env", "A=2")
	expect(t, w, ".env changed")
	must(t, os.Remove(dir+"/compose.yaml"))
	expect(t, w, "compose.yaml removed")
	write(t, dir+"/later/deep/file", "1")
	expect(t, w, "file created")
	must(t, os.RemoveAll(dir+"/later"))
	expect(t, w, "file removed")
	write(t, dir+"/later/deep/file", "2")
	expect(t, w, "file created")
	write(t, dir+"/later/deep/file", "3")
	expect(t, w, "file changed")
}

// TestOverlap has two roots with one tree, of which one is led elsewhere.
func TestOverlap(t *testing.T) {
	dir := memory(t)
	write(t, dir+"/real/tree/f", "1")
	write(t, dir+"/other/tree/g", "1")
	must(t, os.Symlink("real", dir+"/link"))
	w := open(t, notify.Options{Roots: roots(dir, dir+"/link/tree")})
	changes := func(want string) {
		t.Helper()
		b, _ := next(t, w)
		var got []string
		for _, c := range b.Changes {
			got = append(got, strings.TrimPrefix(c.Path, dir)+" "+c.Event.String())
		}
		if d := cmp.Diff(want, strings.Join(got, ", ")); d != "" {
			t.Errorf("batch (-want +got):\n%s", d)
		}
	}
	write(t, dir+"/real/tree/f", "2")
	changes("/link/tree/f changed, /real/tree/f changed")
	must(t, os.Symlink("other", dir+"/next"))
	must(t, os.Rename(dir+"/next", dir+"/link"))
	changes("/link changed, /link/tree/f removed, /link/tree/g created")
	write(t, dir+"/real/tree/f", "3")
	changes("/real/tree/f changed")
	write(t, dir+"/other/tree/g", "2")
	changes("/link/tree/g changed, /other/tree/g changed")
}

// TestGrowing writes a file for a while: it is one change, once it is closed,
// and others do not wait for it.
func TestGrowing(t *testing.T) {
	dir := memory(t)
	write(t, dir+"/f", "0")
	w := open(t, notify.Options{Roots: roots(dir)})
	f, err := os.OpenFile(dir+"/f", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range 20 {
		_, err := fmt.Fprintln(f, i)
		must(t, err)
		if i == 10 {
			write(t, dir+"/other", "1")
			expect(t, w, "other created")
		}
		<-tick.C
	}
	must(t, f.Close())
	expect(t, w, "f changed")
	write(t, dir+"/mark", "1")
	expect(t, w, "mark created")

	t.Log("one that stays open arrives all the same")
	f, err = os.OpenFile(dir+"/f", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString("x")
	must(t, err)
	expect(t, w, "f changed")
}

// TestMapped writes into memory that is a file, of which there is no event.
func TestMapped(t *testing.T) {
	dir := memory(t)
	w := open(t, notify.Options{Roots: roots(dir)})
	f, err := os.Create(dir + "/f")
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(4096))
	data, err := syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(t, err)
	expect(t, w, "f created")
	copy(data, "one")
	expect(t, w, "f changed")
	copy(data, "two")
	must(t, syscall.Munmap(data))
	must(t, f.Close())
	expect(t, w, "f changed")
}

// TestUnreadable takes from somebody who is not root what is to be read, and
// gives it back.
func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestUnreadable$")
		cmd.Dir, cmd.Env = "/", append(os.Environ(), "TMPDIR=/dev/shm")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	dir := memory(t)
	for _, f := range []string{"/a/sub/f", "/b/f", "/c/f"} {
		write(t, dir+f, "1")
	}
	must(t, os.Chmod(dir+"/a", 0))
	t.Cleanup(func() { must(t, os.Chmod(dir+"/b", 0o755)) })
	notices := make(chan string, 10)
	w := open(t, notify.Options{Roots: roots(dir), Notice: func(n notify.Notice) { notices <- n.Text }})
	if got, want := <-notices, "cannot read "+dir+"/a: permission denied: what is in it is not watched"; got != want {
		t.Errorf("notice %s, not %s", got, want)
	}
	t.Log("what was there is taken to be there still")
	must(t, os.Chmod(dir+"/b", 0o300))
	expect(t, w, "b mode changed")
	w.Rescan()
	write(t, dir+"/c/f", "2")
	expect(t, w, "f changed")
	t.Log("and what comes back is watched")
	must(t, os.Chmod(dir+"/a", 0o755))
	expect(t, w, "a mode changed, sub created, f created")
	write(t, dir+"/a/sub/f", "2")
	expect(t, w, "f changed")
	t.Log("a file: nobody can say whether it is the same")
	must(t, os.Chmod(dir+"/c/f", 0))
	expect(t, w, "f changed")
	must(t, os.Chmod(dir+"/c/f", 0o644))
	expect(t, w, "f changed")
}

// TestSince has a file that changed right before it was watched.
func TestSince(t *testing.T) {
	dir := memory(t)
	write(t, dir+"/old", "1")
	begin := time.Now()
	w := open(t, notify.Options{Roots: roots(dir), Since: begin.Add(-time.Hour)})
	expect(t, w, "old created")
	for _, o := range []notify.Options{{Since: begin.Add(time.Hour)}, {Since: begin.Add(-time.Hour), Late: func(p string) bool { return p != dir+"/old" }}} {
		o.Roots = roots(dir)
		w := open(t, o)
		write(t, dir+"/new", "1")
		expect(t, w, "new created")
		must(t, os.Remove(dir+"/new"))
	}
}

// TestState finds what changed while nobody watched, and what was reported
// but not committed.
func TestState(t *testing.T) {
	dir, state := memory(t), filepath.Join(t.TempDir(), "deep", "state")
	tree(t, dir, 200, "x")
	watcher := func(more ...string) *notify.Watcher {
		t.Helper()
		w, err := notify.Open(t.Context(), notify.Options{Roots: roots(append(more, dir)...), State: state})
		must(t, err)
		return w
	}
	w := watcher()
	write(t, dir+"/a", "1")
	write(t, dir+"/b", "1")
	expect(t, w, "a created, b created")
	must(t, w.Close())

	t.Log("nothing happened")
	w = watcher()
	write(t, dir+"/mark", "1")
	expect(t, w, "mark created")
	must(t, w.Close())

	t.Log("edits, a touch and a removal meanwhile")
	write(t, dir+"/a", "2")
	now := time.Now().Add(time.Hour)
	must(t, os.Chtimes(dir+"/pkg0/sub0/x/file0.txt", now, now))
	must(t, os.RemoveAll(dir+"/pkg1"))
	w = watcher()
	b, got := next(t, w)
	if !b.Initial || !b.Rescan {
		t.Errorf("the first batch is not marked: %+v", b)
	}
	if !strings.HasPrefix(got, "a changed, pkg1 removed, sub1 removed") || strings.Contains(got, "file0.txt") {
		t.Errorf("got %s", got)
	}
	must(t, w.Close())

	t.Log("that was not committed")
	w = watcher()
	b2, got2 := next(t, w)
	if got2 != got {
		t.Errorf("first %s\nthen %s", got, got2)
	}
	w.Commit(b2)
	write(t, dir+"/c", "1")
	c, _ := next(t, w)
	write(t, dir+"/d", "1")
	expect(t, w, "d created")
	must(t, w.Close())
	w.Commit(c) // too late

	t.Log("killed without a snapshot: the file is what was appended")
	w = watcher()
	expect(t, w, "c created")
	text, err := os.ReadFile(state)
	must(t, err)
	must(t, w.Close())
	must(t, os.WriteFile(state, text[:len(text)-1], 0o600)) // cut off
	w = watcher()
	expect(t, w, "c created")
	must(t, w.Close())

	t.Log("a root that is new is as it is; one that is not a state is none")
	other := memory(t)
	write(t, other+"/x", "1")
	w = watcher(other)
	write(t, other+"/y", "1")
	expect(t, w, "y created")
	must(t, w.Close())
	write(t, other+"/x", "2")
	w = watcher(other)
	expect(t, w, "x changed")
	must(t, w.Close())
	must(t, os.WriteFile(state, []byte("nonsense"), 0o600))
	w = watcher()
	write(t, dir+"/mark", "2")
	expect(t, w, "mark changed")
	must(t, w.Close())
}

// TestOverflow fills the kernel's queue.
func TestOverflow(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	var queue int
	_, err = fmt.Sscan(string(text), &queue)
	must(t, err)
	host := memory(t)
	write(t, host+"/sub/f", "0")
	write(t, host+"/busy/f", "0")
	write(t, host+"/busy/g", "0")
	write(t, host+"/gone/f", "0")
	write(t, host+"/moved/sub/f", "0")
	release := make(chan struct{})
	var stuck atomic.Bool
	m := newMirrorSkip(t, host, notify.Options{}, func(rel string, dir bool) bool {
		if stuck.Load() && filepath.Base(rel) == "sub" {
			<-release // the watcher does not read while the queue fills
		}
		return skipGit(rel, dir)
	})
	m.settle()
	stuck.Store(true)
	must(t, os.Rename(host+"/sub", host+"/sub.tmp"))
	must(t, os.Rename(host+"/sub.tmp", host+"/sub"))
	for i := range queue + 3*4096 { // the kernel merges equal events that follow each other
		must(t, os.Chmod(fmt.Sprint(host, "/busy/", []string{"f", "g"}[i%2]), 0o600+os.FileMode(i%2)))
	}
	must(t, os.RemoveAll(host+"/gone"))
	must(t, os.Rename(host+"/moved", host+"/elsewhere"))
	write(t, host+"/sub/new/dir/f", "1")
	close(release)
	m.settle()
	if m.rescans == 0 {
		t.Error("the queue did not overflow")
	}
	write(t, host+"/sub/new/dir/f", "2")
	write(t, host+"/elsewhere/sub/f", "2")
	m.settle()
}

// TestLimit has fewer watches than directories: by the option, and by the
// kernel in a user namespace.
func TestLimit(t *testing.T) {
	if os.Getenv("WATCH_TEST_LIMIT") != "" {
		must(t, os.WriteFile("/proc/sys/user/max_inotify_watches", []byte("10"), 0))
		testLimit(t, 0)
		return
	}
	t.Run("option", func(t *testing.T) { testLimit(t, 10) })
	t.Run("kernel", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestLimit$")
		cmd.Env = append(os.Environ(), "WATCH_TEST_LIMIT=1")
		self := []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		group := []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: self, GidMappings: group}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func testLimit(t *testing.T, limit int) {
	host := memory(t)
	for i := range 20 {
		write(t, fmt.Sprintf("%s/d%d/sub/f", host, i), "0")
	}
	var notices []notify.Notice
	m := newMirror(t, host, notify.Options{MaxWatches: limit, Poll: 20 * time.Millisecond, Notice: func(n notify.Notice) { notices = append(notices, n) }})
	m.polls = true
	if len(notices) != 1 || !strings.Contains(notices[0].Hint, "fs.inotify.max_user_watches") {
		t.Errorf("notices: %v", notices)
	}
	for i := range 20 {
		write(t, fmt.Sprintf("%s/d%d/sub/f", host, i), "1")
		write(t, fmt.Sprintf("%s/d%d/new/f", host, i), "1")
	}
	m.settle()
	want := m.w.All()
	busy := time.NewTicker(5 * time.Millisecond) // which must not put off the comparing
	defer busy.Stop()
	for deadline := time.After(10 * time.Second); m.differences() > 0; {
		for more := m.more(); more != nil; {
			select {
			case <-busy.C:
				write(t, host+"/d0/sub/f", "1") // an event, and no change
			case <-more:
				more = nil
			case <-deadline:
				t.Fatal("the unwatched directories never arrive")
			}
		}
	}
	if !slices.Contains(want, host+"/d0/sub/f") {
		t.Errorf("All: %v", want)
	}
	if len(notices) != 1 {
		t.Errorf("notices: %v", notices)
	}
}
