package commit_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/fetch"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/layer"
	"devstack/engine/image/snapshot"
	"devstack/engine/image/store"
)

var epoch = time.Unix(1_700_000_000, 0)

func openStore(t testing.TB) (*store.Store, string) {
	t.Helper()
	root := imagetest.TempDir(t)
	s, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, data string, mode os.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(data), mode))
	must(t, os.Chmod(path, mode))
}

// base pulls an image with a few files to change.
func base(t testing.TB, s *store.Store) image.Image {
	t.Helper()
	files := map[string]string{"etc/": "", "etc/a": "a", "etc/b": "b", "usr/": "", "usr/lib/": "", "usr/lib/x": "x", "old/": "", "old/1": "1", "old/2": "2"}
	ref := imagetest.SaveOCI(t, filepath.Join(t.TempDir(), "base"), "", imagetest.New(t, image.Config{}, imagetest.Files(t, files)))
	img, err := fetch.Ensure(t.Context(), s, ref, fetch.Options{})
	must(t, err)
	return img
}

// step runs do in the merged tree over img and gives what it wrote.
func step(t testing.TB, root, id string, img image.Image, do func(dir string)) snapshot.Snapshot {
	t.Helper()
	snap, err := snapshot.Prepare(root, id, img, 0)
	must(t, err)
	view, err := snapshot.ViewSnapshot(snap, true)
	must(t, err)
	defer view.Close()
	do(fmt.Sprintf("/proc/self/fd/%d", view.Fd()))
	return snap
}

func entries(t testing.TB, s *store.Store, l image.Layer) []string {
	t.Helper()
	f, err := s.OpenBlob(l.Digest)
	must(t, err)
	defer f.Close()
	plain, _, err := layer.Decompress(t.Context(), f, nil)
	must(t, err)
	defer plain.Close()
	var list []string
	tr := tar.NewReader(plain)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return list
		}
		must(t, err)
		line := fmt.Sprintf("%s %c %o %d:%d %d", h.Name, h.Typeflag, h.Mode, h.Uid, h.Gid, h.ModTime.Unix()-epoch.Unix())
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		for k, v := range h.PAXRecords {
			line += fmt.Sprintf(" %s=%q", k, v)
		}
		if h.Uname != "" || h.Gname != "" || h.ModTime.Nanosecond() != 0 {
			t.Errorf("%s: names %q %q, time %v", h.Name, h.Uname, h.Gname, h.ModTime)
		}
		list = append(list, line)
	}
}

// TestLayerOfAStep holds the archive of a real overlay's upper directory to
// what was done, and the adopted tree to what unpacking the archive makes.
func TestLayerOfAStep(t *testing.T) {
	s, root := openStore(t)
	img := base(t, s)
	snap := step(t, root, "c1", img, func(dir string) {
		must(t, os.Remove(dir+"/etc/a"))     // whiteout
		must(t, os.RemoveAll(dir+"/old"))    // a directory replaced: opaque
		must(t, os.Mkdir(dir+"/old", 0o700)) //
		write(t, dir+"/old/3", "3", 0o755)
		must(t, os.MkdirAll(dir+"/new/deep", 0o755))      // opaque for the kernel only
		write(t, dir+"/new/deep/f", "one", 0o640)         //
		must(t, os.Link(dir+"/new/deep/f", dir+"/new/g")) // "new/deep/f" comes first
		must(t, os.Symlink("../etc/b", dir+"/new/link"))
		must(t, os.Chown(dir+"/new/g", 1000, 70000))
		must(t, os.Lchown(dir+"/new/link", 5, 6))
		must(t, unix.Mkfifo(dir+"/new/fifo", 0o600))
		must(t, os.Chmod(dir+"/usr/lib/x", 0o755)) // copied up, with its parents
		must(t, unix.Setxattr(dir+"/usr/lib/x", "user.note", []byte("with\x00zero=\n"), 0))
		must(t, unix.Setxattr(dir+"/usr/lib/x", "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
		must(t, unix.Chmod(dir+"/old/3", 0o4755))
		old := time.Unix(1_000_000_000, 5)
		must(t, os.Chtimes(dir+"/old/3", old, old))
		write(t, dir+"/"+strings.Repeat("long", 50), "", 0o600)
		write(t, dir+"/r\xff\xfe", "", 0o600)
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(t, err)
		must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: dir + "/new/sock"}))
		unix.Close(fd)
	})
	l, err := commit.Layer(t.Context(), s, snap.Upper, commit.Options{Epoch: epoch, Lower: snap.Lower})
	must(t, err)
	want := []string{
		"etc/ 5 755 0:0 0",
		"etc/.wh.a 0 600 0:0 0",
		strings.Repeat("long", 50) + ` 0 600 0:0 0 path="` + strings.Repeat("long", 50) + `"`,
		"new/ 5 755 0:0 0",
		"new/deep/ 5 755 0:0 0",
		"new/deep/f 0 640 1000:70000 0",
		"new/fifo 6 600 0:0 0",
		"new/g 1 640 1000:70000 0 -> new/deep/f",
		"new/link 2 777 5:6 0 -> ../etc/b",
		"old/ 5 700 0:0 0",
		"old/.wh..wh..opq 0 600 0:0 0",
		"old/3 0 4755 0:0 -700000000",
		"r\xff\xfe 0 600 0:0 0 path=\"r\\xff\\xfe\"",
		"usr/ 5 755 0:0 0",
		"usr/lib/ 5 755 0:0 0",
		`usr/lib/x 0 755 0:0 0 SCHILY.xattr.security.capability="\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" SCHILY.xattr.user.note="with\x00zero=\n"`,
	}
	got := entries(t, s, l)
	for i := range got { // the records come from a map
		if strings.HasPrefix(got[i], "usr/lib/x ") {
			f := strings.SplitN(got[i], " SCHILY", 3)
			slices.Sort(f[1:])
			got[i] = strings.Join(f, " SCHILY")
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := os.Lstat(snap.Upper); !errors.Is(err, os.ErrNotExist) {
		t.Error("the upper directory is still there")
	}
	if d := cmp.Diff(treeOf(t, unpacked(t, s, l)), treeOf(t, l.Dir)); d != "" {
		t.Errorf("the adopted tree is not what the archive unpacks to:\n%s", d)
	}
	next, err := commit.Image(t.Context(), s, commit.Spec{Base: img, Layers: []image.Layer{l}, Tags: []string{"two"}})
	must(t, err)
	view, err := snapshot.View(root, next)
	must(t, err)
	defer view.Close()
	dir := fmt.Sprintf("/proc/self/fd/%d", view.Fd())
	for name, want := range map[string]bool{"/etc/a": false, "/etc/b": true, "/old/1": false, "/old/3": true, "/new/g": true, "/new/sock": false} {
		if _, err := os.Lstat(dir + name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unpacked is what the layer's blob makes elsewhere.
func unpacked(t testing.TB, s *store.Store, l image.Layer) string {
	t.Helper()
	dir := filepath.Join(imagetest.TempDir(t), "fs")
	must(t, os.Mkdir(dir, 0o755))
	open := func(context.Context) (io.ReadCloser, error) { return s.OpenBlob(l.Digest) }
	must(t, layer.Ingest(t.Context(), open, nil, dir, layer.Blob{Digest: l.Digest, Size: l.Size, DiffID: l.DiffID}, layer.Limits{}, nil))
	return dir
}

// treeOf describes everything of a tree that a container could notice.
func treeOf(t testing.TB, root string) []string {
	t.Helper()
	var list []string
	inodes := map[uint64]string{}
	must(t, filepath.Walk(root, func(path string, fi os.FileInfo, err error) error {
		must(t, err)
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		rel := strings.TrimPrefix(path, root)
		line := fmt.Sprintf("%q %o %d:%d rdev=%d", rel, st.Mode, st.Uid, st.Gid, st.Rdev)
		if rel != "" && !(st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0) {
			line += fmt.Sprintf(" %d.%d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		if st.Nlink > 1 && !fi.IsDir() && st.Rdev == 0 && st.Mode&unix.S_IFMT == unix.S_IFREG {
			if inodes[st.Ino] == "" {
				inodes[st.Ino] = rel
			}
			line += " = " + inodes[st.Ino]
		}
		if fi.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			must(t, err)
			line += fmt.Sprintf(" %d %x", len(b), b[:min(len(b), 20)])
		}
		buf := make([]byte, 4096)
		n, err := unix.Llistxattr(path, buf)
		must(t, err)
		names := strings.Split(string(buf[:n]), "\x00")
		slices.Sort(names)
		list = append(list, line+strings.Join(names, " "))
		return nil
	}))
	return list
}

// bigTree makes a tree in an order that the seed decides: the same tree.
func bigTree(t testing.TB, dir string, seed uint64, umask int, when time.Time) {
	t.Helper()
	old := unix.Umask(umask)
	defer unix.Umask(old)
	must(t, os.Mkdir(dir, 0o755))
	order := rand.New(rand.NewPCG(seed, 1)).Perm(400)
	for _, i := range order {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i%7))
		if err := os.Mkdir(sub, 0o700); err == nil {
			must(t, os.Chmod(sub, 0o755))
		}
		content := rand.New(rand.NewPCG(uint64(i), 2))
		data := make([]byte, content.IntN(30_000))
		for j := range data {
			data[j] = "abcdefgh \n"[content.IntN(10)]
			if i%3 == 0 {
				data[j] = byte(content.Uint32())
			}
		}
		name := filepath.Join(sub, fmt.Sprintf("f%03d", i))
		write(t, name, string(data), 0o644)
		at := when.Add(time.Duration(i) * time.Millisecond)
		must(t, os.Chtimes(name, at, at))
	}
	write(t, dir+"/big", strings.Repeat("0123456789abcdef", 300_000), 0o600)
	must(t, os.Chmod(dir, 0o755))
}

// TestLayerIsReproducible: the same tree gives the same bytes whatever the
// machine is like.
func TestLayerIsReproducible(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, c := range []commit.Compression{commit.Gzip, commit.Zstd, commit.None} {
		t.Run(string(c), func(t *testing.T) {
			var first image.Layer
			for i, umask := range []int{0o22, 0o77, 0, 0o27} {
				runtime.GOMAXPROCS([]int{1, 8, 2, 3}[i])
				s, root := openStore(t)
				dir := filepath.Join(root, "tree")
				if i == 2 {
					dir = filepath.Join(t.TempDir(), "on another file system")
				}
				bigTree(t, dir, uint64(i), umask, epoch.Add(time.Duration(i)*time.Hour))
				old := unix.Umask(umask)
				l, err := commit.Layer(t.Context(), s, dir, commit.Options{Epoch: epoch, Compression: c})
				unix.Umask(old)
				must(t, err)
				if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
					t.Error("the tree is still there")
				}
				if !s.HasLayer(l.DiffID) || !s.HasBlob(l.Digest, l.Size) {
					t.Error("layer or blob is not in the store")
				}
				l.Dir = ""
				if i == 0 {
					first = l
				} else if l != first {
					t.Errorf("%+v\nis not\n%+v", l, first)
				}
			}
		})
	}
}

// TestLayerFormatStays pins the bytes: another digest means that caches and
// locks of users no longer hold, which is worth a note in the change log.
func TestLayerFormatStays(t *testing.T) {
	const content = "sha256:76a326bd2b665d16ea9ab3cf15cceccaf3b307d158025ca81dd2bf00aa56de6e"
	for c, want := range map[commit.Compression]string{
		commit.Gzip: "sha256:4134cc6b199bea22276b7f419bfe4a900b9a6056db55e775c71bfd1b8f3bbccf",
		commit.Zstd: "sha256:a53221e7b5f90b363efedfb0a406152c1859743d591a295e9c4cbe411d6cdb19",
		commit.None: content,
	} {
		s, root := openStore(t)
		bigTree(t, filepath.Join(root, "tree"), 1, 0, epoch)
		l, err := commit.Layer(t.Context(), s, filepath.Join(root, "tree"), commit.Options{Epoch: epoch, Compression: c})
		must(t, err)
		if string(l.Digest) != want || l.DiffID != content {
			t.Errorf("%s: %s, want %s; content %s", c, l.Digest, want, l.DiffID)
		}
		if c != commit.Gzip {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, "images/blobs/sha256", l.Digest.Encoded()))
		must(t, err)
		if !bytes.HasPrefix(b, []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff")) {
			t.Errorf("gzip header is % x", b[:10])
		}
	}
}

func TestKeptTreeIsUntouched(t *testing.T) {
	s, root := openStore(t)
	dir := filepath.Join(root, "tree")
	bigTree(t, dir, 1, 0, epoch.Add(time.Hour))
	before := treeOf(t, dir)
	l, err := commit.Layer(t.Context(), s, dir, commit.Options{Epoch: epoch, Keep: true, Plain: true})
	must(t, err)
	if d := cmp.Diff(before, treeOf(t, dir)); d != "" {
		t.Error(d)
	}
	moved, err := commit.Layer(t.Context(), s, dir, commit.Options{Epoch: epoch})
	must(t, err)
	if moved != l {
		t.Errorf("%+v is not %+v", moved, l)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("a tree whose layer there is already is still there")
	}
}

func TestEmptyLayer(t *testing.T) {
	s, root := openStore(t)
	for _, c := range []commit.Compression{"", commit.Zstd, commit.None} {
		dir := filepath.Join(root, "empty")
		must(t, os.Mkdir(dir, 0o755))
		l, err := commit.Layer(t.Context(), s, dir, commit.Options{Compression: c})
		must(t, err)
		if !commit.IsEmpty(l) {
			t.Errorf("%s: %+v", c, l)
		}
	}
}

func TestOmittedPathsStayOut(t *testing.T) {
	s, root := openStore(t)
	dir := filepath.Join(root, "tree")
	must(t, os.MkdirAll(dir+"/proc/x", 0o755))
	must(t, os.MkdirAll(dir+"/etc", 0o755))
	write(t, dir+"/etc/hosts", "", 0o644)
	write(t, dir+"/etc/keep", "", 0o644)
	l, err := commit.Layer(t.Context(), s, dir, commit.Options{Epoch: epoch, Omit: []string{"proc", "etc/hosts"}})
	must(t, err)
	if d := cmp.Diff([]string{"etc/ 5 755 0:0 0", "etc/keep 0 644 0:0 0"}, entries(t, s, l)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(treeOf(t, unpacked(t, s, l)), treeOf(t, l.Dir)); d != "" {
		t.Error(d)
	}
}

// TestRefusedTrees: what no layer can say is refused, and nothing is left.
func TestRefusedTrees(t *testing.T) {
	for name, make := range map[string]func(dir string) error{
		"absence":  func(dir string) error { return os.WriteFile(dir+"/.wh.x", nil, 0o600) },
		"device":   func(dir string) error { return unix.Mknod(dir+"/sda", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))) },
		"redirect": func(dir string) error { return redirected(dir) },
	} {
		t.Run(name, func(t *testing.T) {
			s, root := openStore(t)
			dir := filepath.Join(root, "tree")
			must(t, os.Mkdir(dir, 0o755))
			must(t, make(dir))
			var refused *layer.RefusedError
			if _, err := commit.Layer(t.Context(), s, dir, commit.Options{}); !errors.As(err, &refused) {
				t.Errorf("error is %v", err)
			} else {
				t.Log(err)
			}
			checkTidy(t, root)
		})
	}
}

func redirected(dir string) error {
	if err := os.Mkdir(dir+"/d", 0o755); err != nil {
		return err
	}
	return unix.Setxattr(dir+"/d", "trusted.overlay.redirect", []byte("e"), 0)
}

// checkTidy finds what a failure left half done.
func checkTidy(t testing.TB, root string) {
	t.Helper()
	for _, dir := range []string{"images/ingest", "images/blobs/sha256", "layers/ingest", "layers/sha256"} {
		names, err := os.ReadDir(filepath.Join(root, dir))
		must(t, err)
		if len(names) > 0 {
			t.Errorf("%s is not empty: %v", dir, names)
		}
	}
}

func TestCancelledLayer(t *testing.T) {
	s, root := openStore(t)
	dir := filepath.Join(root, "tree")
	bigTree(t, dir, 1, 0, epoch)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := commit.Layer(ctx, s, dir, commit.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	checkTidy(t, root)
	if _, err := commit.Layer(t.Context(), s, dir, commit.Options{}); err != nil {
		t.Error(err)
	}
}

func TestSocketsListenNoMore(t *testing.T) {
	s, root := openStore(t)
	dir := filepath.Join(root, "tree")
	must(t, os.Mkdir(dir, 0o755))
	l, err := net.Listen("unix", dir+"/sock")
	must(t, err)
	defer l.Close()
	got, err := commit.Layer(t.Context(), s, dir, commit.Options{})
	must(t, err)
	if !commit.IsEmpty(got) {
		t.Error("there is something in it")
	}
}
