package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/image/imagetest"
	"devstack/engine/image/layer"
)

type entry = imagetest.Entry

func head(name string) tar.Header { return tar.Header{Name: name} }

func unpack(t testing.TB, entries ...entry) (string, error) {
	t.Helper()
	dir := filepath.Join(imagetest.TempDir(t), "fs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, layer.Unpack(t.Context(), bytes.NewReader(imagetest.Tar(t, entries...)), dir, layer.Limits{})
}

func lstat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

func TestUnpackKeepsEverything(t *testing.T) {
	when := time.Unix(1234567890, 987654321)
	long := strings.Repeat("d/", 60) + strings.Repeat("n", 200)
	dir, err := unpack(t,
		entry{Header: tar.Header{Name: "./", Mode: 0o711, ModTime: when}},
		entry{Header: tar.Header{Name: "bin/", Mode: 0o755, ModTime: when}},
		entry{Header: tar.Header{Name: "bin/su", Mode: 0o4755, Uid: 0, Gid: 42, ModTime: when, Format: tar.FormatPAX}, Data: []byte("su")},
		entry{Header: tar.Header{Name: "bin/ping", Mode: 0o755, Uid: 7, PAXRecords: map[string]string{
			"SCHILY.xattr.security.capability":      "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
			"SCHILY.xattr.user.note":                "hello",
			"SCHILY.xattr.trusted.overlay.redirect": "/etc",
		}}, Data: []byte("ping")},
		entry{Header: tar.Header{Name: "bin/su2", Typeflag: tar.TypeLink, Linkname: "./bin/su"}},
		entry{Header: tar.Header{Name: "shared/", Mode: 0o2775, Gid: 50, ModTime: when}},
		entry{Header: tar.Header{Name: "shared/f", Mode: 0o600, ModTime: when}, Data: []byte("x")},
		entry{Header: tar.Header{Name: "tmp/", Mode: 0o1777, ModTime: when}},
		entry{Header: tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc/anything", Uid: 3, Gid: 4, ModTime: when}},
		entry{Header: tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}},
		entry{Header: tar.Header{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0o622}},
		entry{Header: tar.Header{Name: "loose/file", Mode: 0o604}, Data: []byte("no entry for my directory")},
		entry{Header: tar.Header{Name: long}, Data: []byte("long")},
		entry{Header: tar.Header{Name: "bin/late", ModTime: when}, Data: []byte("after others")},
		entry{Header: tar.Header{Name: "empty"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, want := range map[string]uint32{
		"": 0o40711, "bin": 0o40755, "bin/su": 0o104755, "shared": 0o42775, "shared/f": 0o100600, "tmp": 0o41777,
		"link": 0o120777, "null": 0o20666, "pipe": 0o10622, "loose/file": 0o100604, "loose": 0o40755, "bin/ping": 0o100755,
	} {
		if st := lstat(t, at(name)); st.Mode != want {
			t.Errorf("%s has mode %o, want %o", name, st.Mode, want)
		}
	}
	for name, want := range map[string][2]uint32{"bin/su": {0, 42}, "bin/ping": {7, 0}, "link": {3, 4}, "shared": {0, 50}, "shared/f": {0, 0}} {
		if st := lstat(t, at(name)); st.Uid != want[0] || st.Gid != want[1] {
			t.Errorf("%s belongs to %d:%d, want %v", name, st.Uid, st.Gid, want)
		}
	}
	for _, name := range []string{"", "bin", "shared", "tmp", "shared/f", "link", "bin/late"} {
		if st := lstat(t, at(name)); st.Mtim.Sec != when.Unix() {
			t.Errorf("%s was changed %v, want %v", name, time.Unix(st.Mtim.Sec, st.Mtim.Nsec), when)
		}
	}
	if st := lstat(t, at("bin/su")); st.Mtim.Nsec != int64(when.Nanosecond()) || st.Nlink != 2 {
		t.Errorf("bin/su: %d ns, %d links", st.Mtim.Nsec, st.Nlink)
	}
	if lstat(t, at("null")).Rdev != unix.Mkdev(1, 3) {
		t.Error("null is another device")
	}
	if got, _ := os.Readlink(at("link")); got != "/etc/anything" {
		t.Errorf("link leads to %q", got)
	}
	if got, _ := os.ReadFile(at(long)); string(got) != "long" {
		t.Errorf("long name: %q", got)
	}
	buf := make([]byte, 64)
	if n, err := unix.Lgetxattr(at("bin/ping"), "security.capability", buf); err != nil || n != 20 {
		t.Errorf("capability: %d, %v", n, err)
	}
	if _, err := unix.Lgetxattr(at("bin/ping"), "trusted.overlay.redirect", buf); err != unix.ENODATA {
		t.Errorf("overlay's own attribute came through: %v", err)
	}
}

func TestWhiteoutsBecomeOverlays(t *testing.T) {
	dir, err := unpack(t,
		entry{Header: head("a/.wh.gone")},
		entry{Header: head("b/")}, entry{Header: head("b/.wh..wh..opq")}, entry{Header: head("b/new")},
		entry{Header: head("c/")}, entry{Header: head("c/x")}, entry{Header: head(".wh.c")}, // replaced directory
		entry{Header: head(".wh.d")}, entry{Header: head("d/")}, entry{Header: head("d/y")}, // the other way round
		entry{Header: head("e")}, entry{Header: head(".wh.e")}, // the layer's own file stays
		entry{Header: head(".wh.f")}, entry{Header: head("f"), Data: []byte("f")},
		entry{Header: head(".wh..wh.plnk/")}, entry{Header: head(".wh..wh.aufs")}, entry{Header: head(".wh..wh.plnk/12.3")},
	)
	if err != nil {
		t.Fatal(err)
	}
	isWhiteout := func(name string) bool {
		st := lstat(t, filepath.Join(dir, name))
		return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
	}
	isOpaque := func(name string) bool {
		buf := make([]byte, 4)
		n, _ := unix.Lgetxattr(filepath.Join(dir, name), "trusted.overlay.opaque", buf)
		return n == 1 && buf[0] == 'y'
	}
	if !isWhiteout("a/gone") || isWhiteout("e") || isWhiteout("f") {
		t.Error("whiteouts are wrong")
	}
	for name, want := range map[string]bool{"a": false, "b": true, "c": true, "d": true} {
		if isOpaque(name) != want {
			t.Errorf("%s opaque: %v", name, !want)
		}
	}
	for _, name := range []string{"b/new", "c/x", "d/y", "e", "f"} {
		lstat(t, filepath.Join(dir, name))
	}
	if names, _ := filepath.Glob(dir + "/.wh*"); len(names) != 0 {
		t.Errorf("markers left: %v", names)
	}
}

func TestLaterEntriesReplace(t *testing.T) {
	dir, err := unpack(t,
		entry{Header: head("f"), Data: []byte("1")}, entry{Header: head("f"), Data: []byte("2")},
		entry{Header: head("d/")}, entry{Header: head("d/x/")}, entry{Header: head("d/x/y")}, entry{Header: head("d"), Data: []byte("now a file")},
		entry{Header: head("g"), Data: []byte("file")}, entry{Header: head("g/")}, entry{Header: head("g/h")},
		entry{Header: tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}, entry{Header: head("l"), Data: []byte("plain")},
		entry{Header: tar.Header{Name: "m", Typeflag: tar.TypeSymlink, Linkname: "/etc"}}, entry{Header: head("m/")}, entry{Header: head("m/passwd"), Data: []byte("own")},
		entry{Header: head("r/")}, entry{Header: tar.Header{Name: "r", Typeflag: tar.TypeSymlink, Linkname: "g"}}, entry{Header: head("r/through")},
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"f": "2", "d": "now a file", "l": "plain", "m/passwd": "own"} {
		st := lstat(t, filepath.Join(dir, name))
		got, _ := os.ReadFile(filepath.Join(dir, name))
		if string(got) != want || st.Mode&unix.S_IFMT != unix.S_IFREG {
			t.Errorf("%s is %q (%o)", name, got, st.Mode)
		}
	}
	lstat(t, filepath.Join(dir, "g/through")) // a link within the layer may be used
}

func TestHostileLayersAreRefused(t *testing.T) {
	outside := filepath.Join(imagetest.TempDir(t), "outside")
	if err := os.Mkdir(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(name, target string) entry {
		return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}}
	}
	hard := func(name, target string) entry {
		return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}}
	}
	up := strings.Repeat("../", 12) + outside[1:]
	for name, entries := range map[string][]entry{
		"parent":                    {{Header: head("../evil")}},
		"parent inside":             {{Header: head("a/../../evil")}},
		"parent at the end":         {{Header: head("a/..")}},
		"absolute link":             {link("l", outside), {Header: head("l/evil")}},
		"climbing link":             {link("l", up), {Header: head("l/evil")}},
		"link to a link":            {link("a", outside), link("b", "a"), {Header: head("b/evil")}},
		"deep link":                 {{Header: head("d/")}, link("d/l", up), {Header: head("d/l/x/evil")}},
		"loop":                      {link("a", "b"), link("b", "a"), {Header: head("a/evil")}},
		"link to nothing":           {link("a", "nothing"), {Header: head("a/evil")}},
		"through a file":            {{Header: head("f")}, {Header: head("f/evil")}},
		"link to the root and on":   {link("r", "/proc/self/root"), {Header: head("r/evil")}},
		"link to a descriptor":      {link("r", "/proc/self/cwd"), {Header: head("r/evil")}},
		"hard link upward":          {hard("h", up+"/secret")},
		"hard link absolute":        {hard("h", secret)},
		"hard link through a link":  {link("l", outside), hard("h", "l/secret")},
		"hard link to a directory":  {{Header: head("d/")}, hard("h", "d")},
		"hard link to nothing":      {hard("h", "nothing")},
		"directory through a link":  {link("l", outside), {Header: head("l/evil/")}},
		"link through a link":       {link("l", outside), link("l/evil", "x")},
		"fifo through a link":       {link("l", outside), {Header: tar.Header{Name: "l/evil", Typeflag: tar.TypeFifo}}},
		"whiteout through a link":   {link("l", outside), {Header: head("l/.wh.secret")}},
		"opaque through a link":     {link("l", outside), {Header: head("l/.wh..wh..opq")}},
		"whiteout of the root":      {{Header: head(".wh..")}},
		"whiteout of the parent":    {{Header: head("a/.wh...")}},
		"whiteout of nothing":       {{Header: head("a/.wh.")}},
		"beneath a whiteout":        {{Header: head(".wh.a/b")}},
		"file as root":              {{Header: head("./")}, {Header: tar.Header{Name: ".", Typeflag: tar.TypeReg}, Data: []byte("x")}},
		"disk":                      {{Header: tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}}},
		"memory":                    {{Header: tar.Header{Name: "mem", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1}}},
		"name longer than any path": {{Header: tar.Header{Name: strings.Repeat("x/", 3000), Format: tar.FormatPAX}}},
		"unknown type":              {{Header: tar.Header{Name: "x", Typeflag: 'Z'}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := unpack(t, entries...)
			var refused *layer.RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("error is %v", err)
			}
			t.Log(err)
			if got, _ := os.ReadFile(secret); string(got) != "secret" {
				t.Error("a file outside was changed")
			}
			names, _ := os.ReadDir(outside)
			if len(names) != 1 || lstat(t, secret).Nlink != 1 {
				t.Errorf("outside holds %v", names)
			}
			buf := make([]byte, 4)
			if n, _ := unix.Lgetxattr(outside, "trusted.overlay.opaque", buf); n > 0 {
				t.Error("a directory outside was marked")
			}
		})
	}
}

func TestAbsoluteNamesMeanTheRootOfTheLayer(t *testing.T) {
	dir, err := unpack(t, entry{Header: head("/devstack-test-absolute/"), Data: nil}, entry{Header: head("/devstack-test-absolute/f"), Data: []byte("in")})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "devstack-test-absolute/f")); string(got) != "in" {
		t.Errorf("got %q", got)
	}
	if _, err := os.Lstat("/devstack-test-absolute"); err == nil {
		t.Error("it was made at the host's root")
	}
}

func TestLimits(t *testing.T) {
	many := imagetest.Tar(t, entry{Header: head("a")}, entry{Header: head("b")}, entry{Header: head("c")})
	err := layer.Unpack(t.Context(), bytes.NewReader(many), imagetest.TempDir(t), layer.Limits{Entries: 2})
	if err == nil || !strings.Contains(err.Error(), "more than 2 entries") {
		t.Errorf("entries: %v", err)
	}
	big := imagetest.Tar(t, entry{Header: head("a"), Data: make([]byte, 1<<20)})
	err = layer.Unpack(t.Context(), bytes.NewReader(big), imagetest.TempDir(t), layer.Limits{Bytes: 1000})
	if err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("bytes: %v", err)
	}
	err = layer.Unpack(t.Context(), bytes.NewReader(imagetest.Tar(t, entry{Header: tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}})), imagetest.TempDir(t), layer.Limits{Devices: true})
	if err != nil {
		t.Errorf("devices allowed: %v", err)
	}
}

// TestSparse reads archives in GNU tar's sparse forms and expects holes.
func TestSparse(t *testing.T) {
	src := filepath.Join(imagetest.TempDir(t), "sparse")
	const size = 64 << 20
	f, err := os.Create(src)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("data"), 1<<20)
	f.Truncate(size)
	f.Close()
	for _, format := range []string{"gnu", "posix"} {
		archive, err := exec.Command("tar", "--sparse", "--format="+format, "-C", filepath.Dir(src), "-c", "sparse").Output()
		if err != nil {
			t.Fatal(err)
		}
		dir := imagetest.TempDir(t)
		if err := layer.Unpack(t.Context(), bytes.NewReader(archive), dir, layer.Limits{}); err != nil {
			t.Fatal(err)
		}
		st := lstat(t, filepath.Join(dir, "sparse"))
		if st.Size != size || st.Blocks*512 > 1<<20 {
			t.Errorf("%s: %d bytes in %d blocks", format, st.Size, st.Blocks)
		}
		got := make([]byte, 4)
		if f, err := os.Open(filepath.Join(dir, "sparse")); err == nil {
			f.ReadAt(got, 1<<20)
			f.Close()
		}
		if string(got) != "data" {
			t.Errorf("%s: content is %q", format, got)
		}
	}
}

func TestManyDirectoriesOutOfOrder(t *testing.T) {
	when := time.Unix(1_000_000_000, 0)
	var entries []entry
	for i := range 200 {
		entries = append(entries, entry{Header: tar.Header{Name: fmt.Sprintf("d%03d/", i), ModTime: when}})
	}
	for round := range 3 {
		for i := range 200 {
			entries = append(entries, entry{Header: tar.Header{Name: fmt.Sprintf("d%03d/f%d", i, round), ModTime: when}, Data: []byte("x")})
		}
	}
	dir, err := unpack(t, entries...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if st := lstat(t, fmt.Sprintf("%s/d%03d", dir, i)); st.Mtim.Sec != when.Unix() {
			t.Fatalf("d%03d was changed at %d", i, st.Mtim.Sec)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte(imagetest.Files(f, map[string]string{"a/": "", "a/b": "c", "a/l": "-> b", ".wh.x": "", "a/.wh..wh..opq": ""})))
	f.Add([]byte(imagetest.Tar(f, entry{Header: tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}}, entry{Header: head("l/x")})))
	f.Fuzz(func(t *testing.T, data []byte) {
		base := imagetest.TempDir(t)
		dir := filepath.Join(base, "fs")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		canary := filepath.Join(base, "canary")
		if err := os.WriteFile(canary, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		layer.Unpack(t.Context(), bytes.NewReader(data), dir, layer.Limits{Bytes: 1 << 20, Entries: 1000})
		if names, _ := os.ReadDir(base); len(names) != 2 {
			t.Fatalf("something was made outside: %v", names)
		}
		if err := layer.RemoveAll(base + "/fs"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRemoveAllStaysInside(t *testing.T) {
	base := imagetest.TempDir(t)
	keep := filepath.Join(base, "keep")
	if err := os.MkdirAll(filepath.Join(keep, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	doomed := filepath.Join(base, "doomed")
	if err := os.MkdirAll(filepath.Join(doomed, "a/b/c"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if err := os.WriteFile(fmt.Sprintf("%s/a/f%d", doomed, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(keep, filepath.Join(doomed, "a/link")); err != nil {
		t.Fatal(err)
	}
	if err := layer.RemoveAll(doomed); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(doomed); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is still there")
	}
	if _, err := os.Lstat(filepath.Join(keep, "sub")); err != nil {
		t.Error("it followed a link")
	}
}

func TestRemoveAllOfAVeryDeepTree(t *testing.T) {
	base := imagetest.TempDir(t)
	at, err := unix.Open(base, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 { // much longer than PATH_MAX
		if err := unix.Mkdirat(at, "deeper", 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, "deeper", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = next
	}
	unix.Close(at)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 512
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if err := layer.RemoveAll(base + "/deeper"); err != nil {
		t.Fatal(err)
	}
	if names, _ := os.ReadDir(base); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}
