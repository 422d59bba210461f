package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// describe gives a line for every entry of a tree with all that a copy must keep.
func describe(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	links := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%s %o %d:%d mtime %d.%d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %q", st.Size, strings.TrimRight(string(data), "\x00"))
			if st.Nlink > 1 {
				if links[st.Ino] == "" {
					links[st.Ino] = rel
				}
				line += " = " + links[st.Ino]
			}
		case unix.S_IFLNK:
			target, _ := os.Readlink(path)
			line += " -> " + target
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" dev %d", st.Rdev)
		}
		buf := make([]byte, 4096)
		if n, err := unix.Llistxattr(path, buf); err == nil {
			names := strings.Fields(strings.ReplaceAll(string(buf[:n]), "\x00", " "))
			slices.Sort(names)
			for _, name := range names {
				n, _ := unix.Lgetxattr(path, name, buf)
				line += fmt.Sprintf(" %s=%q", name, buf[:n])
			}
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// imageTree makes a root with everything a layer can hold below /data.
func imageTree(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("owners and devices need root")
	}
	root := t.TempDir()
	at := func(p string) string { return filepath.Join(root, p) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(at("data/sub/deep"), 0o755))
	must(os.WriteFile(at("data/file"), []byte("hello"), 0o640))
	must(os.Chown(at("data/file"), 999, 998))
	must(unix.Setxattr(at("data/file"), "user.note", []byte("kept"), 0))
	must(os.WriteFile(at("data/suid"), []byte("#!"), 0o755))
	must(os.Chown(at("data/suid"), 7, 7))
	must(os.Chmod(at("data/suid"), 0o755|os.ModeSetuid))
	must(os.WriteFile(at("data/sub/empty"), nil, 0o600))
	must(os.Link(at("data/file"), at("data/sub/deep/hard")))
	must(os.Symlink("../../etc/passwd", at("data/sub/link")))
	must(os.Lchown(at("data/sub/link"), 5, 6))
	must(unix.Mkfifo(at("data/fifo"), 0o620))
	must(unix.Mknod(at("data/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(unix.Chmod(at("data/null"), 0o666))
	sparse, err := os.Create(at("data/sparse"))
	must(err)
	_, err = sparse.WriteAt([]byte("end"), 4<<20)
	must(err)
	must(sparse.Truncate(5 << 20))
	must(sparse.Close())
	// A file capability (cap_net_bind_service+ep), which a chown would drop.
	must(unix.Setxattr(at("data/suid"), "security.capability",
		[]byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	must(os.Chown(at("data"), 70, 70))
	must(os.Chmod(at("data"), 0o700|os.ModeSticky))
	past := time.Unix(1600000000, 123456789)
	for _, p := range []string{"data/file", "data/sub/deep", "data/sub", "data"} {
		must(os.Chtimes(at(p), past, past))
	}
	must(os.Symlink("/data", at("absolute")))
	must(os.Symlink("/../../../../data", at("climbing")))
	return root
}

func openRoot(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestPopulateKeepsEverything(t *testing.T) {
	root := imageTree(t)
	want := describe(t, filepath.Join(root, "data"))
	// Links that are absolute, or climb, are resolved inside the image.
	for _, path := range []string{"/data", "/absolute", "/climbing"} {
		t.Run(path, func(t *testing.T) {
			s := open(t)
			v := create(t, s, Spec{Name: "data"})
			if unfilled, err := s.Unfilled(v); err != nil || !unfilled {
				t.Errorf("unfilled: %v, %v", unfilled, err)
			}
			if err := s.Populate(t.Context(), v, openRoot(t, root), path); err != nil {
				t.Fatal(err)
			}
			if unfilled, err := s.Unfilled(v); err != nil || unfilled {
				t.Errorf("unfilled afterwards: %v, %v", unfilled, err)
			}
			if diff := cmp.Diff(want, describe(t, v.Path)); diff != "" {
				t.Errorf("copy (-image +volume):\n%s", diff)
			}
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(v.Path, "sparse"), &st); err != nil || st.Blocks*512 > 1<<20 {
				t.Errorf("a sparse file takes %d bytes, %v", st.Blocks*512, err)
			}
			if diff := cmp.Diff([]string{dataName, recordFile}, entries(t, filepath.Dir(v.Path))); diff != "" {
				t.Errorf("left behind (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPopulateAcrossFileSystems(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip("needs a tmpfs")
	}
	root := imageTree(t)
	dir, err := os.MkdirTemp("/dev/shm", "devstack-volumes")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := open(t)
	v := create(t, s, Spec{Name: "bound", DriverOpts: map[string]string{"type": "none", "o": "bind", "device": dir}})
	if err := s.Populate(t.Context(), v, openRoot(t, root), "/data"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(describe(t, filepath.Join(root, "data")), describe(t, dir)); diff != "" {
		t.Errorf("copy (-image +device):\n%s", diff)
	}
	if err := s.Remove(t.Context(), "bound"); err != nil {
		t.Fatal(err)
	}
	if len(entries(t, dir)) == 0 {
		t.Error("removing the volume emptied the device")
	}
}

func TestPopulateOnlyWhenEmpty(t *testing.T) {
	root := imageTree(t)
	s := open(t)
	v := create(t, s, Spec{Name: "used"})
	if err := os.WriteFile(filepath.Join(v.Path, "mine"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := describe(t, v.Path)
	if err := s.Populate(t.Context(), v, openRoot(t, root), "/data"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, describe(t, v.Path)); diff != "" {
		t.Errorf("a used volume changed (-before +after):\n%s", diff)
	}
	for _, path := range []string{"/none", "/data/file", "/data/fifo"} {
		empty := create(t, s, Spec{Name: AnonymousName()})
		if err := s.Populate(t.Context(), empty, openRoot(t, root), path); err != nil {
			t.Errorf("path %s: %v", path, err)
		}
		if names := entries(t, empty.Path); len(names) != 0 {
			t.Errorf("path %s: volume got %v", path, names)
		}
	}
}

// A container may have the empty volume mounted while another's start fills it.
func TestPopulateKeepsTheDirectory(t *testing.T) {
	root := imageTree(t)
	s := open(t)
	v := create(t, s, Spec{Name: "shared"})
	mounted := openRoot(t, v.Path)
	if err := s.Populate(t.Context(), v, openRoot(t, root), "/data"); err != nil {
		t.Fatal(err)
	}
	names, err := mounted.Readdirnames(-1)
	if err != nil || !slices.Contains(names, "file") {
		t.Errorf("through the directory as it was before: %v, %v", names, err)
	}
}

func TestInterruptedPopulation(t *testing.T) {
	root := imageTree(t)
	want := describe(t, filepath.Join(root, "data"))
	tests := []struct {
		name  string
		crash func(t *testing.T, v Volume)
	}{
		{"while copying", func(t *testing.T, v Volume) {
			half := filepath.Join(filepath.Dir(v.Path), fillName)
			if err := os.MkdirAll(filepath.Join(half, "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(half, "file"), []byte("hel"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"while moving", func(t *testing.T, v Volume) {
			done := filepath.Join(filepath.Dir(v.Path), fillDoneName)
			if err := os.Mkdir(done, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := copyTree(t.Context(), openRoot(t, filepath.Join(root, "data")), done); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(done, "sub"), filepath.Join(v.Path, "sub")); err != nil {
				t.Fatal(err)
			}
			past := time.Unix(1600000000, 123456789)
			if err := os.Chtimes(done, past, past); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			v := create(t, s, Spec{Name: "half"})
			tt.crash(t, v)
			if err := s.Populate(t.Context(), v, openRoot(t, root), "/data"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, describe(t, v.Path)); diff != "" {
				t.Errorf("after the second try (-image +volume):\n%s", diff)
			}
			if diff := cmp.Diff([]string{dataName, recordFile}, entries(t, filepath.Dir(v.Path))); diff != "" {
				t.Errorf("left behind (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCancelledPopulationLeavesNothing(t *testing.T) {
	root := imageTree(t)
	s := open(t)
	v := create(t, s, Spec{Name: "cancelled"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Populate(ctx, v, openRoot(t, root), "/data"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{dataName, recordFile}, entries(t, filepath.Dir(v.Path))); diff != "" {
		t.Errorf("left behind (-want +got):\n%s", diff)
	}
	if names := entries(t, v.Path); len(names) != 0 {
		t.Errorf("volume holds %v", names)
	}
}

func TestOpenSubpath(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"out": "/etc", "up": "../..", "in": "/a/b"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ sub, want, err string }{
		{sub: "a/b", want: "a/b"},
		{sub: "/a", want: "a"},
		{sub: "in", want: "a/b"},
		{sub: "up", want: "."},
		{sub: "out", err: "does not exist"},
		{sub: "out/passwd", err: "does not exist"},
		{sub: "../x", err: `must not contain ".."`},
		{sub: "none", err: "does not exist"},
	}
	for _, tt := range tests {
		f, err := OpenSubpath(dir, tt.sub)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want %q", tt.sub, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.sub, err)
			continue
		}
		got, _ := os.Readlink(procPath(int(f.Fd()), ""))
		if want := filepath.Join(dir, tt.want); got != want {
			t.Errorf("%s: opened %s, want %s", tt.sub, got, want)
		}
		f.Close()
	}
}

// Removal must stop at a mount that somebody made inside a volume. The mount
// lives in a mount namespace of the test's own thread.
func TestRemoveRefusesMounts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	s := open(t)
	outside := t.TempDir()
	keep := filepath.Join(outside, "keep")
	if err := os.WriteFile(keep, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	v := create(t, s, Spec{Name: "mounted"})
	inside := filepath.Join(v.Path, "m")
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	ownMounts(t, func() {
		if err := unix.Mount(outside, inside, "", unix.MS_BIND, ""); err != nil {
			t.Error(err)
			return
		}
		if err := s.Remove(context.Background(), "mounted"); err == nil || !strings.Contains(err.Error(), "mounted there") {
			t.Errorf("remove: %v", err)
		}
	})
	if _, err := os.Stat(keep); err != nil {
		t.Errorf("removal went through a mount: %v", err)
	}
	if _, err := s.Lookup("mounted"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the volume is still listed: %v", err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Errorf("sweep once the mount is gone: %v", err)
	}
	if names := entries(t, s.dir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// ownMounts runs fn on a thread with a mount namespace of its own; the thread
// ends with fn and takes the namespace along.
func ownMounts(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Error(err)
			return
		}
		fn()
	}()
	<-done
}
