package build

import (
	"bytes"
	"context"
	"crypto/rand"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	_ "devstack/engine/container/child"

	"devstack/engine/build/source"
	"devstack/engine/container"
	"devstack/engine/image"
	"devstack/engine/image/fetch"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/snapshot"
	"devstack/engine/image/store"
	"devstack/network"
	"devstack/network/nettest"
)

func TestMain(m *testing.M) {
	if os.Getuid() != 0 {
		os.Exit(m.Run())
	}
	nettest.Main(func() int {
		// What nettest mounted hides the cgroups.
		if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil {
			panic(err)
		}
		code := m.Run()
		os.Remove(childPath())
		return code
	})
}

func childPath() string {
	return filepath.Join(os.TempDir(), "devstack-test-child-"+strconv.Itoa(os.Getpid()))
}

// staticChild returns "" if this test can be its own child.
func staticChild(t testing.TB) string {
	t.Helper()
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Section(".interp") == nil {
		return ""
	}
	exe := childPath()
	if _, err := os.Stat(exe); err == nil {
		return exe
	}
	build := exec.Command("go", "build", "-o", exe, "devstack/engine/container/testdata/child")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return exe
}

// shop is a Builder with all that it needs, and a busybox image.
type shop struct {
	testing.TB
	*Builder
	data  string
	base  string // reference of the busybox image
	store *store.Store
}

func newShop(t testing.TB) *shop {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	s := &shop{TB: t, data: imagetest.TempDir(t)}
	var b [3]byte
	rand.Read(b[:])
	tag := hex.EncodeToString(b[:])
	rt, err := container.NewRuntime(container.Options{CgroupRoot: "devstack-" + tag, Exe: staticChild(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Sweep(context.Background(), func(string) bool { return false }); err != nil {
			t.Error(err)
		}
		rt.Close()
	})
	run := t.TempDir()
	stack, err := network.Open(t.Context(), network.Config{DataRoot: s.data, RunRoot: run, Tag: tag})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.store, err = store.Open(s.data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.store.Close)
	if s.Builder, err = Open(Config{Images: s.store, Runtime: rt, Network: stack, DataRoot: s.data, Tag: tag}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(filepath.Join(s.data, "builds/work")); len(left) != 0 {
			t.Errorf("steps left %v", left)
		}
		if left, _ := os.ReadDir(filepath.Join(run, "netns")); len(left) != 0 {
			t.Errorf("steps left namespaces %v", left)
		}
		if left := stack.List(); len(left) != 0 {
			t.Errorf("builds left networks %v", left)
		}
	})
	return s
}

// busybox makes the base image known as "base".
func (s *shop) busybox(config image.Config) *shop {
	s.Helper()
	if config.Env == nil {
		config.Env = []string{"PATH=/bin"}
	}
	s.base = imagetest.SaveOCI(s, filepath.Join(s.TempDir(), "base"), "", imagetest.New(s, config, imagetest.Busybox(s)))
	if _, err := fetch.Ensure(s.Context(), s.store, s.base, fetch.Options{}); err != nil {
		s.Fatal(err)
	}
	return s
}

// tree makes a directory of files; names ending in "/" are directories.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	return dir
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// outcome is what a build came to.
type outcome struct {
	testing.TB
	s      *shop
	img    image.Image
	err    error
	events []Event
	log    string
}

// request is one for a context of files; BASE in the Dockerfile is busybox.
func (s *shop) request(files map[string]string) Request {
	s.Helper()
	r := Request{Context: source.Spec{Kind: source.KindDir, Path: tree(s, files)}}
	r.Args = map[string]*string{"BASE": &s.base}
	return r
}

func (s *shop) try(ctx context.Context, r Request) *outcome {
	s.Helper()
	o := &outcome{TB: s, s: s}
	var log bytes.Buffer
	o.img, o.err = s.Build(ctx, r, func(e Event) {
		if e.State == Log {
			log.Write(e.Line)
			log.WriteByte('\n')
			return
		}
		e.Line = bytes.Clone(e.Line)
		o.events = append(o.events, e)
	})
	o.log = log.String()
	return o
}

func (s *shop) build(r Request) *outcome {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	o := s.try(ctx, r)
	if o.err != nil {
		var step *StepError
		if errors.As(o.err, &step) {
			s.Logf("%s", step.Log)
		}
		s.Fatal(o.err)
	}
	return o
}

// dockerfile builds an inline Dockerfile, with "ARG BASE" before it.
func (s *shop) dockerfile(text string, change ...func(*Request)) *outcome {
	s.Helper()
	return s.build(s.inline(text, change...))
}

func (s *shop) inline(text string, change ...func(*Request)) Request {
	s.Helper()
	r := s.request(nil)
	r.Inline = "ARG BASE\n" + text
	for _, f := range change {
		f(&r)
	}
	return r
}

// file reads a file of the image.
func (o *outcome) file(name string) string {
	o.Helper()
	b, err := os.ReadFile(o.path(name))
	if err != nil {
		o.Fatalf("image has no %s: %v", name, err)
	}
	return string(b)
}

// path is where a file of the image can be looked at.
func (o *outcome) path(name string) string {
	o.Helper()
	root, err := snapshot.View(o.s.data, o.img)
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() { root.Close() })
	return fmt.Sprintf("/proc/self/fd/%d/%s", root.Fd(), strings.TrimPrefix(name, "/"))
}

func (o *outcome) has(name string) bool {
	_, err := os.Lstat(o.path(name))
	return err == nil
}

// did lists the steps that reached a state, by name.
func (o *outcome) did(state string) []string {
	var out []string
	for _, e := range o.events {
		if e.State == state && e.Index > 0 {
			out = append(out, e.Name)
		}
	}
	slices.Sort(out)
	return out
}

// layerFiles lists what a layer's tree holds.
func (o *outcome) layerFiles(n int) []string {
	o.Helper()
	var out []string
	dir := o.img.Layers[n].Dir
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); rel != "." {
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	return out
}

func ptr[T any](v T) *T { return &v }
