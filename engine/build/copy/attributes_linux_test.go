package copy_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/build/copy"
	"devstack/engine/build/source"
	"devstack/engine/image/imagetest"
)

func TestAttributesOfContexts(t *testing.T) {
	src := tree(t, "d/su=1", "d/f=2", "d/sub/x=3", "one=-> d/f")
	must(t, os.Chmod(src+"/d/su", 0o755|os.ModeSetuid))
	must(t, os.Chmod(src+"/d/sub", 0o700|os.ModeSticky))
	must(t, os.Chown(src+"/d/f", 123, 456))
	must(t, unix.Mkfifo(src+"/d/pipe", 0o640))
	must(t, os.Link(src+"/d/f", src+"/d/again"))
	must(t, os.Link(src+"/d/f", src+"/d/sub/third"))
	must(t, unix.Setxattr(src+"/d/su", "security.capability", capability(), 0))
	must(t, unix.Setxattr(src+"/d/f", "user.note", []byte("hello"), 0))
	must(t, unix.Setxattr(src+"/d/f", "trusted.host", []byte("no"), 0))
	dst := tree(t)
	must(t, run(t, open(t, src, source.Options{}), dst, copy.Options{Epoch: epoch()}, "d /made/on/the/way"))
	at := func(p string) unix.Stat_t { return lstat(t, filepath.Join(dst, "made/on/the/way", p)) }
	for p, want := range map[string]uint32{
		"": 0o40755, "..": 0o40755, "su": 0o104755, "f": 0o100644, "sub": 0o41700, "sub/x": 0o100644,
		"pipe": unix.S_IFIFO | 0o640,
	} {
		st := at(p)
		if st.Mode != want || st.Uid != 0 || st.Gid != 0 {
			t.Errorf("%q: mode %o of %d:%d, want %o of root", p, st.Mode, st.Uid, st.Gid, want)
		}
		if st.Mtim.Sec != epoch().Unix() || st.Mtim.Nsec != 0 {
			t.Errorf("%q is of %v", p, time.Unix(st.Mtim.Unix()))
		}
	}
	if a, b, c := at("f"), at("again"), at("sub/third"); a.Ino != b.Ino || a.Ino != c.Ino || a.Nlink != 3 {
		t.Error("hard links became copies")
	}
	file := dst + "/made/on/the/way/f"
	if v, err := xattr(file, "user.note"); err != nil || v != "hello" {
		t.Errorf("user.note: %q %v", v, err)
	}
	if _, err := xattr(file, "trusted.host"); err != unix.ENODATA {
		t.Errorf("an attribute of the host came along: %v", err)
	}
	if v, _ := xattr(dst+"/made/on/the/way/su", "security.capability"); v != string(capability()) {
		t.Errorf("capability: %q", v)
	}
}

func capability() []byte {
	return []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
}

func xattr(p, name string) (string, error) {
	buf := make([]byte, 256)
	n, err := unix.Lgetxattr(p, name, buf)
	return string(buf[:max(n, 0)]), err
}

func TestStagesKeepOwnersAndTimes(t *testing.T) {
	src := tree(t, "d/old=1", "d/new=2", "d/l=-> old")
	old := time.Unix(1_000_000_000, 5)
	must(t, os.Chown(src+"/d", 7, 8))
	must(t, os.Chown(src+"/d/old", 5, 6))
	must(t, os.Lchown(src+"/d/l", 9, 9))
	must(t, unix.Mkfifo(src+"/d/pipe", 0o620))
	must(t, unix.Mknod(src+"/d/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, os.Chmod(src+"/d/pipe", 0o620))
	must(t, os.Chmod(src+"/d/null", 0o666))
	must(t, os.Chtimes(src+"/d/old", old, old))
	dst := tree(t)
	must(t, run(t, open(t, src, source.Options{Owned: true, NoIgnore: true}), dst, copy.Options{Epoch: epoch()}, "/ /"))
	for p, want := range map[string][3]int64{"d": {7, 8, epoch().Unix()}, "d/old": {5, 6, old.Unix()}, "d/new": {0, 0, epoch().Unix()}, "d/l": {9, 9, epoch().Unix()}} {
		st := lstat(t, dst+"/"+p)
		if got := [3]int64{int64(st.Uid), int64(st.Gid), st.Mtim.Sec}; got != want {
			t.Errorf("%s: %v, want %v", p, got, want)
		}
	}
	if st := lstat(t, dst+"/d/null"); st.Mode != 0o20666 || st.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("null: %o %x", st.Mode, st.Rdev)
	}
	if st := lstat(t, dst+"/d/pipe"); st.Mode != 0o10620 {
		t.Errorf("pipe: %o", st.Mode)
	}
}

func TestChownAndChmod(t *testing.T) {
	src := tree(t, "d/f=1", "d/x=2", "d/l=-> f", "g=3")
	must(t, os.Chmod(src+"/d/x", 0o744))
	tests := []struct {
		line string
		path string
		want string // mode uid gid
	}{
		{"--chown=55 g /a/g", "a/g", "100644 55 55"},
		{"--chown=55 g /a/g", "a", "40755 55 55"},
		{"--chown=10:11 d /d", "d/f", "100644 10 11"},
		{"--chown=10:11 d /d", "d", "40755 10 11"},
		{"--chown=10:11 d /d", "d/l", "120777 10 11"},
		{"--chown=app d /d", "d/f", "100644 1000 1001"},
		{"--chown=app:extra d /d", "d/f", "100644 1000 2000"},
		{"--chown=7:extra d /d", "d/f", "100644 7 2000"},
		{"--chown=:extra d /d", "d/f", "100644 0 2000"},
		{"--chmod=0640 d /e", "e/f", "100640 0 0"},
		{"--chmod=4755 g /g", "g", "104755 0 0"},
		{"--chmod=750 d /e", "e", "40750 0 0"},
		{"--chmod=u=rwX,go=rX d /e", "e/f", "100644 0 0"},
		{"--chmod=u=rwX,go=rX d /e", "e/x", "100755 0 0"},
		{"--chmod=+x g /g", "g", "100755 0 0"},
		{"--chmod=g=u,o= d /e", "e/x", "100770 0 0"},
		{"--chmod=go-rwx d /e", "e/x", "100700 0 0"},
		{"--chmod=+x g /new/g", "new", "40755 0 0"},
	}
	for _, test := range tests {
		dst := tree(t, "etc/passwd=root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n", "etc/group=extra:x:2000:app\n")
		must(t, run(t, open(t, src, source.Options{}), dst, copy.Options{}, test.line))
		st := lstat(t, dst+"/"+test.path)
		if got := fmt.Sprintf("%o %d %d", st.Mode, st.Uid, st.Gid); got != test.want {
			t.Errorf("%s: %s is %s, want %s", test.line, test.path, got, test.want)
		}
	}
}

func TestSparseAndLargeFiles(t *testing.T) {
	src := tree(t)
	f, err := os.Create(src + "/sparse")
	must(t, err)
	_, err = f.WriteAt([]byte("end"), 64<<20)
	must(t, err)
	_, err = f.WriteAt([]byte("start"), 0)
	must(t, err)
	must(t, f.Close())
	large := bytes.Repeat([]byte("0123456789abcdef"), 200<<10)
	must(t, os.WriteFile(src+"/large", large, 0o644))
	for _, dst := range []string{tree(t), t.TempDir()} { // the same file system and another
		must(t, run(t, open(t, src, source.Options{}), dst, copy.Options{}, "sparse large /"))
		if st := lstat(t, dst+"/sparse"); st.Size != 64<<20+3 || st.Blocks*512 > 1<<20 {
			t.Errorf("sparse takes %d of %d bytes", st.Blocks*512, st.Size)
		}
		a, _ := os.ReadFile(src + "/sparse")
		b, _ := os.ReadFile(dst + "/sparse")
		c, _ := os.ReadFile(dst + "/large")
		if !bytes.Equal(a, b) || !bytes.Equal(c, large) {
			t.Error("content differs")
		}
	}
}

func TestBadInputNamesWhatAndWhy(t *testing.T) {
	src := tree(t, "f=1", "d/x=2", "out=-> ../../../../etc/hostname", "loop=-> loop", ".dockerignore=secret\n", "secret=s", "dir/f=1", "way=-> dir", "deep/way=-> /dir")
	must(t, unix.Mknod(src+"/d/disk", unix.S_IFBLK|0o644, int(unix.Mkdev(7, 0))))
	must(t, unix.Mknod(src+"/dev", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))))
	tests := []struct{ line, want string }{
		{"none /x", `"none": not found in build context`},
		{"d/none/x /x", `"d/none/x": not found`},
		{"f/x /x", `f is a file, not a directory`},
		{"out /x", `"out": not found (through the link out -> ../../../../etc/hostname; links are followed inside only) in build context`},
		{"loop /x", `leads through more than 40 links`},
		{"secret /x", `"secret": is excluded by the ignore file and so is not in build context`},
		{"d /x", `"d/disk" is a block device, which a build cannot copy (exclude it in .dockerignore)`},
		{"dev /x", `"dev" is a character device`},
		{"f dir /x", `destination /x: must be a directory and end with "/" when there are 2 sources`},
		{"a[ /x", `a[: is no valid pattern`},
		{"--parents none /x", `"none"`},
		{"--parents way/f /x", `way/f: leads through a link to dir, which --parents does not follow`},
		{"--parents deep/./way/f /x", `deep/./way/f: leads through a link to dir`},
		{"--exclude=[ f /x", `--exclude: pattern "[": syntax error in pattern`},
		{"--chmod=999 f /x", `--chmod=999: an octal mode lies between 0 and 7777`},
		{"--chmod=u+q f /x", `--chmod=u+q: "u+q": 'q' is no permission`},
		{"--chmod=rw f /x", `--chmod=rw: "rw" is no mode`},
		{"--chown=nobody f /x", `--chown=nobody: user "nobody": it is not in /etc/passwd`},
		{"--chown=1:staff f /x", `--chown=1:staff: group "staff": there is no /etc/group to find it in`},
		{"f /busy", `copy f to /busy: /busy/f: is a directory, which a file cannot replace`},
		{"dir /file", `copy dir to /file: /file: is a file, not a directory`},
		{"f /file/", `/file: is a file, not a directory`},
		{"dir /deep", `/deep/f: is a directory, which a file cannot replace`},
	}
	for _, test := range tests {
		dst := tree(t, "busy/f/x=1", "file=1", "deep/f/", "etc/passwd=root:x:0:0::/:\n")
		err := run(t, open(t, src, source.Options{}), dst, copy.Options{}, test.line)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant %s", test.line, err, test.want)
		}
	}
}

func TestNothingOutsideIsReadOrWritten(t *testing.T) {
	outside := tree(t, "passwd=root:x:0:0::/:\n", "file=untouched", "dir/")
	src := tree(t, "f=new", "d/f=new", "d/sub/x=1", "abs=-> "+outside+"/file", "up/l=-> "+strings.Repeat("../", 20)+outside[1:]+"/file", "updir=-> "+outside)
	lines := []string{
		"f /link/evil", "f /link/", "f /link", "d /link", "d /", "f /file", "d/f /file", "f /deep/link/../x", "f /rel/evil", "d /sub",
		"--parents d/f /link", "abs /x", "up/l /x", "updir/file /x", "updir /x", "up* /x/", "--chown=root f /x",
	}
	for _, line := range lines {
		dst := tree(t, "link=-> "+outside+"/dir", "file=-> "+outside+"/file", "deep/link=-> "+outside, "rel=-> "+strings.Repeat("../", 20)+outside[1:]+"/dir",
			"f=-> "+outside+"/file", "sub=-> "+outside+"/dir", "etc/passwd=-> "+outside+"/passwd")
		err := run(t, open(t, src, source.Options{}), dst, copy.Options{}, line)
		if strings.HasPrefix(line, "--chown") && (err == nil || !strings.Contains(err.Error(), "no /etc/passwd")) {
			t.Errorf("%s: %v", line, err)
		}
		if got := list(t, outside); len(got) != 3 || got[1] != "file=untouched" || got[0] != "dir/" {
			t.Fatalf("%s wrote outside: %q", line, got)
		}
		for _, f := range list(t, dst) {
			if strings.HasSuffix(f, "=untouched") {
				t.Errorf("%s read from outside: %s", line, f)
			}
		}
	}
}

func TestWhatChangesIsNoticed(t *testing.T) {
	changes := map[string]func(src string){
		"content": func(src string) { add(t, src, "d/f=other") },
		"removed": func(src string) { must(t, os.Remove(src+"/d/f")) },
		"a link":  func(src string) { must(t, os.Remove(src+"/d/f")); must(t, os.Symlink("/etc/passwd", src+"/d/f")) },
		"directory to a link": func(src string) {
			must(t, os.Rename(src+"/d", src+"/e"))
			must(t, os.Symlink("e", src+"/d"))
		},
	}
	for name, change := range changes {
		src, dst := tree(t, "d/f=1"), tree(t)
		tr := open(t, src, source.Options{})
		ops, _, err := copy.Plan(t.Context(), copy.Args{Sources: []copy.Source{{Tree: tr, Path: "d"}}, Dest: "/x/"})
		must(t, err)
		change(src)
		var changed *source.ChangedError
		if err := copy.Into(t.Context(), root(t, dst), ops, copy.Options{}); !errors.As(err, &changed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysFollowContent(t *testing.T) {
	files := []string{"a=1", "d/b=2", "d/c/e=3", "d/l=-> b"}
	key := func(src, line string) string {
		tr := open(t, src, source.Options{})
		words := strings.Fields(line)
		a := copy.Args{Dest: words[1], Sources: []copy.Source{{Tree: tr, Path: words[0]}}}
		_, k, err := copy.Plan(t.Context(), a)
		must(t, err)
		return k.String()
	}
	base := tree(t, files...)
	for _, line := range []string{"d /x", "a /x", ". /x"} {
		want := key(base, line)
		clone := tree(t, files...)
		must(t, os.Chtimes(clone+"/a", time.Unix(5, 0), time.Unix(5, 0)))
		must(t, os.Chown(clone+"/d/b", 77, 77))
		must(t, os.WriteFile(clone+"/d/sock", nil, 0o644))
		must(t, os.Remove(clone+"/d/sock"))
		if key(clone, line) != want {
			t.Errorf("%s: a clone has another key", line)
		}
	}
	changes := []struct {
		what string
		do   func(dir string)
	}{
		{"content", func(d string) { add(t, d, "d/c/e=4") }},
		{"mode", func(d string) { must(t, os.Chmod(d+"/d/b", 0o755)) }},
		{"mode of a directory", func(d string) { must(t, os.Chmod(d+"/d/c", 0o700)) }},
		{"name", func(d string) { must(t, os.Rename(d+"/d/b", d+"/d/bb")) }},
		{"link", func(d string) { must(t, os.Remove(d+"/d/l")); add(t, d, "d/l=-> c") }},
		{"empty directory", func(d string) { add(t, d, "d/new/") }},
		{"attribute", func(d string) { must(t, unix.Setxattr(d+"/d/b", "user.x", []byte("y"), 0)) }},
		{"hard link", func(d string) { must(t, os.Remove(d+"/d/c/e")); must(t, os.Link(d+"/d/b", d+"/d/c/e")) }},
	}
	want := key(base, "d /x")
	for _, c := range changes {
		dir := tree(t, files...)
		c.do(dir)
		if key(dir, "d /x") == want {
			t.Errorf("%s: the key is the same", c.what)
		}
		if key(dir, "a /x") != key(base, "a /x") {
			t.Errorf("%s: the key of another file changed", c.what)
		}
	}
	if key(base, "d /y") == want || key(base, "d /x/") == want || key(base, "a /x") == want {
		t.Error("the destination does not count")
	}
}

func TestHereDocuments(t *testing.T) {
	dst := tree(t)
	ops, _, err := copy.Plan(t.Context(), copy.Args{Dest: "/d/", Sources: []copy.Source{{Name: "a", Data: []byte("A\n")}, {Name: "b", Data: nil}}})
	must(t, err)
	must(t, copy.Into(t.Context(), root(t, dst), ops, copy.Options{Epoch: epoch(), Chown: "3:4"}))
	if st := lstat(t, dst+"/d/a"); st.Mode != 0o100644 || st.Uid != 3 || st.Gid != 4 || st.Mtim.Sec != epoch().Unix() {
		t.Errorf("a: %+v", st)
	}
	if got := list(t, dst); strings.Join(got, " ") != "d/a=A\n d/b=" {
		t.Errorf("%q", got)
	}
}

func TestOverlay(t *testing.T) {
	base := imagetest.TempDir(t)
	for _, d := range []string{"lower/etc", "lower/app/old", "upper", "work"} {
		must(t, os.MkdirAll(filepath.Join(base, d), 0o755))
	}
	add(t, base, "lower/app/f=old", "lower/app/keep=k", "lower/lib=-> app")
	merged := overlay(t, base)
	src := tree(t, "app/f=new", "app/g=g", "app/old/x=1", "h=h")
	tr := open(t, src, source.Options{})
	for _, dest := range []string{"/app", "/lib/again"} {
		ops, _, err := copy.Plan(t.Context(), copy.Args{Dest: dest, Sources: []copy.Source{{Tree: tr, Path: "app"}}})
		must(t, err)
		must(t, copy.Into(t.Context(), merged, ops, copy.Options{Epoch: epoch()}))
	}
	got := strings.Join(list(t, base+"/upper"), " ")
	if want := "app/again/f=new app/again/g=g app/again/old/x=1 app/f=new app/g=g app/old/x=1"; got != want {
		t.Errorf("upper holds %s, want %s", got, want)
	}
}

// overlay is a detached overlay mount of lower, upper and work beneath base.
func overlay(t testing.TB, base string) *os.File {
	t.Helper()
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	must(t, err)
	defer unix.Close(fs)
	for key, dir := range map[string]string{"lowerdir": "lower", "upperdir": "upper", "workdir": "work"} {
		must(t, unix.FsconfigSetString(fs, key, filepath.Join(base, dir)))
	}
	must(t, unix.FsconfigCreate(fs))
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	dir, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	f := os.NewFile(uintptr(dir), "merged")
	t.Cleanup(func() { f.Close() })
	return f
}
