package notify_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"devstack/engine/watch"
	"devstack/engine/watch/apply"
	"devstack/engine/watch/notify"
)

// mirror keeps a target equal to what a watcher says of a host directory.
type mirror struct {
	t       *testing.T
	host    string // as the root is named
	target  string
	w       *notify.Watcher
	root    *apply.Root
	batches int
	changes int
	rescans int
	marks   int
	polls   bool
	applied time.Duration
	settled time.Time
}

func skipGit(rel string, _ bool) bool {
	return rel == ".git" || strings.HasPrefix(rel, ".git/") || strings.HasPrefix(rel, "node_modules")
}

func newMirror(t *testing.T, host string, o notify.Options) *mirror {
	t.Helper()
	return newMirrorSkip(t, host, o, skipGit)
}

func newMirrorSkip(t *testing.T, host string, o notify.Options, skip func(string, bool) bool) *mirror {
	t.Helper()
	m := &mirror{t: t, host: host, target: memory(t)}
	o.Roots = append(o.Roots, watch.Root{Path: host, Skip: skip})
	if o.Notice == nil {
		o.Notice = func(n notify.Notice) { t.Log("notice:", n.Text) }
	}
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	if m.w, err = notify.Open(ctx, o); err != nil {
		t.Fatal(err)
	}
	if m.root, err = apply.Open(m.target); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := m.w.Close(); err != nil {
			t.Error(err)
		}
		m.root.Close()
	})
	m.sync(m.w.All(), apply.Options{Compare: true})
	return m
}

func (m *mirror) sync(paths []string, o apply.Options) {
	m.t.Helper()
	var ops []watch.Op
	for _, p := range paths {
		rel, err := filepath.Rel(m.host, p)
		if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
			continue
		}
		ops = append(ops, watch.Op{Source: p, Target: "/" + rel})
	}
	if _, err := m.root.Apply(m.t.Context(), ops, o); err != nil {
		m.t.Error(err)
	}
}

// settle waits until what was done has arrived, and compares.
func (m *mirror) settle() {
	m.t.Helper()
	m.marks++
	mark := filepath.Join(m.host, fmt.Sprintf("mark-%d", m.marks))
	write(m.t, mark, "x")
	timeout := time.After(20 * time.Second)
	for seen := false; !seen; {
		select {
		case b, ok := <-m.w.Batches():
			if !ok {
				m.t.Fatal("the watcher ended")
			}
			seen = slices.ContainsFunc(b.Changes, func(c watch.Change) bool { return c.Path == mark })
			m.take(b)
		case <-timeout:
			m.t.Fatal("no batch with ", mark)
		}
	}
	m.settled = time.Now()
	if !m.polls {
		m.differences()
	}
}

// more takes one more batch.
func (m *mirror) more() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if b, ok := <-m.w.Batches(); ok {
			m.take(b)
		}
	}()
	return done
}

// take does what a batch says.
func (m *mirror) take(b watch.Batch) {
	m.t.Helper()
	m.batches++
	m.changes += len(b.Changes)
	if b.Rescan {
		m.rescans++
	}
	begin := time.Now()
	var paths []string
	for _, c := range b.Changes {
		paths = append(paths, c.Path)
	}
	m.sync(paths, apply.Options{})
	m.applied += time.Since(begin)
	m.w.Commit(b)
}

// differences compares the trees; unless some of the host is polled, there
// must not be any.
func (m *mirror) differences() int {
	m.t.Helper()
	diff, err := apply.Diff(m.host, m.target, func(rel string) bool { return skipGit(rel, false) })
	if err != nil {
		m.t.Fatal(err)
	}
	if len(diff) > 0 && !m.polls {
		m.t.Errorf("host and target differ in %d paths:\n%s", len(diff), strings.Join(diff[:min(10, len(diff))], "\n"))
	}
	return len(diff)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// memory is a directory that no disk slows down.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "watch")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// vimSave is what vim does with backupcopy=no, as strace shows it.
func vimSave(t *testing.T, path, text string) {
	probe := filepath.Join(filepath.Dir(path), "4913")
	write(t, filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".swp"), "swap")
	write(t, probe, "")
	must(t, os.Remove(probe))
	must(t, os.Rename(path, path+"~"))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	must(t, os.Chmod(path, 0o644))
	must(t, os.Remove(path+"~"))
	must(t, os.Remove(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".swp")))
}

func TestMirror(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, m *mirror){
		"vim": func(t *testing.T, m *mirror) {
			for i := range 5 {
				vimSave(t, m.host+"/src/a.txt", fmt.Sprint("version ", i))
				m.settle()
			}
		},
		"mv over": func(t *testing.T, m *mirror) {
			write(t, m.host+"/src/a.tmp", "new")
			must(t, os.Rename(m.host+"/src/a.tmp", m.host+"/src/a.txt"))
		},
		"mode": func(t *testing.T, m *mirror) {
			must(t, os.Chmod(m.host+"/src/a.txt", 0o755))
			must(t, os.Chmod(m.host+"/src", 0o700))
		},
		"delete": func(t *testing.T, m *mirror) {
			must(t, os.RemoveAll(m.host+"/src"))
			must(t, os.Remove(m.host+"/top.txt"))
		},
		"links": func(t *testing.T, m *mirror) {
			must(t, os.Symlink("a.txt", m.host+"/src/link"))
			must(t, os.Symlink("/etc", m.host+"/etc"))
			m.settle()
			must(t, os.Remove(m.host+"/src/link"))
			must(t, os.Symlink("b.txt", m.host+"/src/link"))
			must(t, os.Remove(m.host+"/etc"))
			must(t, os.Mkdir(m.host+"/etc", 0o755))
			write(t, m.host+"/etc/passwd", "mine")
		},
		"case": func(t *testing.T, m *mirror) {
			must(t, os.Rename(m.host+"/src/a.txt", m.host+"/src/A.txt"))
			must(t, os.Rename(m.host+"/src", m.host+"/Src"))
			m.settle()
			write(t, m.host+"/Src/A.txt", "upper")
		},
		"root again": func(t *testing.T, m *mirror) {
			must(t, os.RemoveAll(m.host))
			must(t, os.MkdirAll(m.host+"/other", 0o755))
			write(t, m.host+"/other/x", "1")
			m.settle()
			write(t, m.host+"/other/x", "2")
			m.settle()
			must(t, os.Rename(m.host, m.host+".old"))
			must(t, os.Rename(m.host+".old", m.host))
			write(t, m.host+"/other/x", "3")
		},
		"moved in": func(t *testing.T, m *mirror) {
			out := t.TempDir()
			for i := range 50 {
				write(t, fmt.Sprintf("%s/pkg/d%d/e/f%d", out, i%7, i), fmt.Sprint(i))
			}
			must(t, os.Rename(out+"/pkg", m.host+"/src/pkg"))
			m.settle()
			must(t, os.Rename(m.host+"/src/pkg", m.host+"/pkg2"))
			write(t, m.host+"/pkg2/d1/new", "x")
			m.settle()
			write(t, m.host+"/pkg2/d1/e/newer", "y")
			must(t, os.Rename(m.host+"/pkg2/d1", m.host+"/src/d1"))
			write(t, m.host+"/src/d1/e/newer", "z")
			m.settle()
			write(t, m.host+"/src/d1/e/newer", "zz")
			must(t, os.Rename(m.host+"/pkg2", out+"/gone"))
		},
		"moved into new": func(t *testing.T, m *mirror) {
			for i := range 20 {
				a, b := fmt.Sprintf("%s/new%d", m.host, i), fmt.Sprintf("%s/deep%d", m.host, i)
				write(t, b+"/x/y/z", "1")
				m.settle()
				must(t, os.Mkdir(a, 0o755))
				must(t, os.Rename(b, a+"/in"))
				m.settle()
				write(t, a+"/in/x/y/z", "2")
				write(t, a+"/in/x/y/w", "2")
			}
		},
		"swap": func(t *testing.T, m *mirror) {
			write(t, m.host+"/one/f", "1")
			write(t, m.host+"/two/f", "2")
			m.settle()
			must(t, os.Rename(m.host+"/one", m.host+"/tmp"))
			must(t, os.Rename(m.host+"/two", m.host+"/one"))
			must(t, os.Rename(m.host+"/tmp", m.host+"/two"))
			m.settle()
			write(t, m.host+"/one/f", "11")
			write(t, m.host+"/two/f", "22")
		},
		"kinds": func(t *testing.T, m *mirror) {
			must(t, os.Remove(m.host+"/top.txt"))
			write(t, m.host+"/top.txt/now/dir", "x")
			must(t, os.RemoveAll(m.host+"/src"))
			write(t, m.host+"/src", "a file")
		},
		"deep tree": func(t *testing.T, m *mirror) {
			for i := range 40 {
				write(t, fmt.Sprintf("%s/n/%d/%d/%d/f", m.host, i%3, i%5, i), "x")
			}
		},
		"skipped": func(t *testing.T, m *mirror) {
			write(t, m.host+"/node_modules/x/y", "x")
			m.settle()
			if _, err := os.Stat(m.target + "/node_modules"); err == nil {
				t.Error("node_modules was copied")
			}
		},
	} {
		for _, via := range []string{"plain", "symlink"} {
			t.Run(name+"/"+via, func(t *testing.T) {
				host := t.TempDir() + "/up/project"
				write(t, host+"/src/a.txt", "a")
				write(t, host+"/src/b.txt", "b")
				write(t, host+"/top.txt", "top")
				if via == "symlink" {
					link := t.TempDir() + "/link"
					must(t, os.Symlink(filepath.Dir(host), link))
					host = link + "/project"
				}
				m := newMirror(t, host, notify.Options{})
				do(t, m)
				m.settle()
			})
		}
	}
}

// TestRelink turns the symlink that leads to the root to another tree.
func TestRelink(t *testing.T) {
	base := t.TempDir()
	write(t, base+"/v1/a", "1")
	write(t, base+"/v1/only1", "1")
	write(t, base+"/v2/a", "2")
	must(t, os.Symlink("v1", base+"/current"))
	m := newMirror(t, base+"/current", notify.Options{})
	m.settle()
	must(t, os.Symlink("v2", base+"/next"))
	must(t, os.Rename(base+"/next", base+"/current"))
	m.settle()
	write(t, base+"/v2/a", "22")
	m.settle()
	if _, err := os.Stat(m.target + "/only1"); !os.IsNotExist(err) {
		t.Errorf("only1 is still there: %v", err)
	}
}

// TestRelinkAbove turns the symlink that leads to the root's parent, after the
// root was gone for a while, beside files that are watched for themselves.
func TestRelinkAbove(t *testing.T) {
	base := t.TempDir()
	write(t, base+"/real/tree/f", "1")
	write(t, base+"/compose.yaml", "1")
	must(t, os.Symlink("real", base+"/link"))
	m := newMirror(t, base+"/link/tree", notify.Options{Roots: []watch.Root{{Path: base + "/compose.yaml"}, {Path: base + "/.env"}}})
	m.settle()
	must(t, os.RemoveAll(base+"/real/tree"))
	<-m.more()
	write(t, base+"/real/tree/again/f", "back")
	m.settle()
	write(t, base+"/other/tree/x/f", "other")
	must(t, os.Symlink("other", base+"/link2"))
	must(t, os.Rename(base+"/link2", base+"/link"))
	m.settle()
	write(t, base+"/other/tree/x/f", "2")
	m.settle()
}

// TestMoveAbove renames the directory that the root is in, and puts another in
// its place.
func TestMoveAbove(t *testing.T) {
	base := t.TempDir()
	write(t, base+"/web/src/f", "1")
	m := newMirror(t, base+"/web/src", notify.Options{Base: base})
	m.settle()
	must(t, os.Rename(base+"/web", base+"/web.old"))
	<-m.more()
	write(t, base+"/web/src/g", "2")
	m.settle()
	write(t, base+"/web.old/src/f", "not ours")
	m.settle()
	must(t, os.Rename(base+"/web", base+"/web.new"))
	must(t, os.Rename(base+"/web.old", base+"/web"))
	m.settle()
}

func git(t *testing.T, dir, stdin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "core.fsync=none", "-c", "gc.auto=0"}, args...)...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", args, err, out)
	}
}

// tree writes a tree of n files; what is in them depends on the seed, and
// every third is in a directory of the seed's.
func tree(t testing.TB, dir string, n int, seed string) {
	treeFiles(n, seed, func(path, text string) { write(t, dir+"/"+path, text) })
}

func treeFiles(n int, seed string, put func(path, text string)) {
	for i := range n {
		d := fmt.Sprintf("pkg%d/sub%d", i%17, i%50)
		if i%3 == 0 {
			d += "/" + seed
		}
		put(fmt.Sprintf("%s/file%d.txt", d, i), fmt.Sprintf("%s %d\n", seed, i))
	}
}

func TestCheckout(t *testing.T) {
	host := memory(t)
	git(t, host, "", "init", "-q", "-b", "one")
	var history strings.Builder
	put := func(path, text string) {
		fmt.Fprintf(&history, "M 100644 inline %s\ndata %d\n%s\n", path, len(text), text)
	}
	for _, branch := range []string{"one", "two"} {
		fmt.Fprintf(&history, "commit refs/heads/%s\ncommitter a <a@b> 1000000000 +0000\ndata 0\n", branch)
		treeFiles(5000, branch, put)
	}
	git(t, host, history.String(), "fast-import", "--quiet")
	git(t, host, "", "checkout", "-q", "-f", "two")
	m := newMirror(t, host, notify.Options{})
	m.settle()
	for _, branch := range []string{"one", "two"} {
		m.batches, m.changes, m.applied = 0, 0, 0
		begin := time.Now()
		git(t, host, "", "checkout", "-q", branch)
		done := time.Since(begin)
		m.settle()
		t.Logf("checkout took %v; %d changes in %d batches, found and copied %v after, of which copying took %v", done, m.changes, m.batches, m.settled.Sub(begin)-done, m.applied)
		if m.batches > 2 { // the checkout, and perhaps the mark
			t.Errorf("%d batches for one checkout", m.batches)
		}
	}
}
