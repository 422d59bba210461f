package copy_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"devstack/engine/build/copy"
	"devstack/engine/build/source"
	"devstack/engine/image/imagetest"
)

type entry = imagetest.Entry

func archive(t testing.TB, files map[string]string) []byte { return imagetest.Files(t, files) }

func gz(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func through(t testing.TB, program string, data []byte) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run %s: %v", program, err)
	}
	return out
}

func TestAddUnpacksWhatIsAnArchive(t *testing.T) {
	plain := archive(t, map[string]string{"bin/tool": "#!tool", "etc/conf": "c", "link": "-> bin/tool"})
	enc, err := zstd.NewWriter(nil)
	must(t, err)
	packed := map[string][]byte{
		"plain.tar": plain, "a.tar.gz": gz(t, plain), "b.zst": enc.EncodeAll(plain, nil),
		"c.tar.bz2": through(t, "bzip2", plain), "d.txz": through(t, "xz", plain),
	}
	want := "x/bin/tool=#!tool x/etc/conf=c x/link=-> bin/tool"
	for name, data := range packed {
		src, dst := tree(t), tree(t)
		must(t, os.WriteFile(src+"/"+name, data, 0o644))
		must(t, run(t, open(t, src, source.Options{}), dst, copy.Options{Epoch: epoch()}, "--unpack "+name+" /x"))
		if got := strings.Join(list(t, dst), " "); got != want {
			t.Errorf("%s: %s", name, got)
		}
		if st := lstat(t, dst+"/x/bin/tool"); st.Mtim.Sec != epoch().Unix() || st.Mode != 0o100755 {
			t.Errorf("%s: tool is of %d, %o", name, st.Mtim.Sec, st.Mode)
		}
		must(t, run(t, open(t, src, source.Options{}), dst, copy.Options{}, name+" /copied"))
		if got, _ := os.ReadFile(dst + "/copied"); !bytes.Equal(got, data) {
			t.Errorf("%s: without --unpack it is not copied", name)
		}
	}
	for name, data := range map[string][]byte{"empty.tar.gz": nil, "text.gz": gz(t, []byte("no archive")), "text": []byte("text"), "zeros": make([]byte, 2048), "liar.gz": []byte("\x1f\x8bno")} {
		src, dst := tree(t), tree(t)
		must(t, os.WriteFile(src+"/"+name, data, 0o644))
		must(t, run(t, open(t, src, source.Options{}), dst, copy.Options{}, "--unpack "+name+" /x/"))
		if got, err := os.ReadFile(dst + "/x/" + name); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s is no archive and should be copied: %v", name, err)
		}
	}
}

func TestAddMergesArchives(t *testing.T) {
	old := time.Unix(1_000_000_000, 0)
	data := imagetest.Tar(t,
		entry{Header: tar.Header{Name: "./", Mode: 0o711, ModTime: old}},
		entry{Header: tar.Header{Name: "./dir/", Mode: 0o750, Uid: 5, Gid: 6, ModTime: old}},
		entry{Header: tar.Header{Name: "./dir/f", Mode: 0o4755, Uid: 5, Gid: 6, ModTime: old}, Data: []byte("new")},
		entry{Header: tar.Header{Name: "./dir/hard", Typeflag: tar.TypeLink, Linkname: "./dir/f"}},
		entry{Header: tar.Header{Name: "./was-dir", Mode: 0o644, ModTime: old}, Data: []byte("file")},
		entry{Header: tar.Header{Name: "./was-file/", Mode: 0o755, ModTime: old}},
		entry{Header: tar.Header{Name: "./was-link/", Mode: 0o755, ModTime: old}},
		entry{Header: tar.Header{Name: "./cap", Mode: 0o755, ModTime: old, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": string(capability())}}},
	)
	src := tree(t)
	must(t, os.WriteFile(src+"/a.tar", data, 0o644))
	for _, chown := range []string{"", "33:44"} {
		outside := tree(t, "keep=k")
		base := imagetest.TempDir(t)
		for _, d := range []string{"lower/x/dir", "lower/x/was-dir", "upper", "work"} {
			must(t, os.MkdirAll(filepath.Join(base, d), 0o755))
		}
		add(t, base, "lower/x/dir/f=old", "lower/x/dir/kept=k", "lower/x/was-dir/x=1", "lower/x/was-file=1", "lower/x/was-link=-> "+outside)
		merged := overlay(t, base)
		ops, _, err := copy.Plan(t.Context(), copy.Args{Unpack: true, Dest: "/x", Sources: []copy.Source{{Tree: open(t, src, source.Options{}), Path: "a.tar"}}})
		must(t, err)
		must(t, copy.Into(t.Context(), merged, ops, copy.Options{Chown: chown, Epoch: epoch()}))
		view := fmt.Sprintf("/proc/self/fd/%d/", merged.Fd())
		want := "cap= dir/f=new dir/hard=new dir/kept=k was-dir=file was-file/ was-link/"
		if got := strings.Join(list(t, view+"x"), " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		uid, gid := uint32(5), uint32(6)
		if chown != "" {
			uid, gid = 33, 44
		}
		for p, mode := range map[string]uint32{"x/dir": 0o40750, "x/dir/f": 0o104755} {
			if st := lstat(t, view+p); st.Mode != mode || st.Uid != uid || st.Gid != gid || st.Mtim.Sec != old.Unix() {
				t.Errorf("%s: %o of %d:%d, %d", p, st.Mode, st.Uid, st.Gid, st.Mtim.Sec)
			}
		}
		if a, b := lstat(t, view+"x/dir/f"), lstat(t, view+"x/dir/hard"); a.Ino != b.Ino {
			t.Error("the hard link is a copy")
		}
		if st := lstat(t, view+"x"); st.Mode != 0o40711 {
			t.Errorf("the archive's top did not count: %o", st.Mode)
		}
		if v, _ := xattr(view+"x/cap", "security.capability"); v != string(capability()) {
			t.Errorf("capability: %q", v)
		}
		if got := list(t, outside); len(got) != 1 {
			t.Errorf("outside: %q", got)
		}
		if names, _ := os.ReadDir(base + "/upper"); len(names) != 1 {
			t.Errorf("upper holds %v", names)
		}
	}
}

func TestHostileArchives(t *testing.T) {
	outside := tree(t, "f=untouched")
	hostile := map[string][]entry{
		"leaves":             {{Header: tar.Header{Name: "../evil"}}},
		"is a hard link to":  {{Header: tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}}},
		"symbolic link that": {{Header: tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside}}, {Header: tar.Header{Name: "l/f"}, Data: []byte("evil")}},
		"is a device node":   {{Header: tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}}},
		"is a layer of an":   {{Header: tar.Header{Name: ".wh.f"}}},
		"limit of":           {{Header: tar.Header{Name: "big"}, Data: make([]byte, 2<<20)}},
	}
	for want, entries := range hostile {
		src, dst := tree(t), tree(t, "keep=k")
		must(t, os.WriteFile(src+"/a.tar", imagetest.Tar(t, entries...), 0o644))
		err := run(t, open(t, src, source.Options{}), dst, copy.Options{MaxBytes: 1 << 20}, "--unpack a.tar /")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if got := list(t, dst); len(got) != 1 || got[0] != "keep=k" {
			t.Errorf("%s: left %q", want, got)
		}
		if got := list(t, outside); len(got) != 1 || got[0] != "f=untouched" {
			t.Fatalf("%s: wrote outside: %q", want, got)
		}
	}
	endless := append(archive(t, map[string]string{"a": "x"}), make([]byte, 2<<20)...)
	for name, data := range map[string][]byte{"e.tar": endless, "e.gz": gz(t, endless)} {
		src, dst := tree(t), tree(t)
		must(t, os.WriteFile(src+"/"+name, data, 0o644))
		err := run(t, open(t, src, source.Options{}), dst, copy.Options{MaxBytes: 1 << 20}, "--unpack "+name+" /")
		if err == nil || !strings.Contains(err.Error(), "unpacks to more than 1048576 bytes") {
			t.Errorf("what follows the archive in %s: %v", name, err)
		}
		must(t, run(t, open(t, src, source.Options{}), tree(t), copy.Options{MaxBytes: 4 << 20}, "--unpack "+name+" /"))
	}
	plain := archive(t, map[string]string{"a": strings.Repeat("x", 100_000), "b": "y"})
	for name, data := range map[string][]byte{"cut.tar": plain[:60_000], "cut.gz": gz(t, plain)[:300], "bad.gz": damage(gz(t, plain)), "cut.xz": cut(through(t, "xz", plain))} {
		src, dst := tree(t), tree(t)
		must(t, os.WriteFile(src+"/"+name, data, 0o644))
		if err := run(t, open(t, src, source.Options{}), dst, copy.Options{}, "--unpack "+name+" /"); err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := list(t, dst); len(got) != 0 {
			t.Errorf("%s: left %q", name, got)
		}
	}
}

func damage(b []byte) []byte { b[len(b)-6] ^= 1; return b }
func cut(b []byte) []byte    { return b[:len(b)-20] }

func TestAddURL(t *testing.T) {
	when := time.Unix(1_500_000_000, 0)
	data := gz(t, archive(t, map[string]string{"f": "x"}))
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", when, bytes.NewReader(data))
	}))
	defer server.Close()
	o := source.Options{Dir: tree(t)}
	do := func(url, dest string, unpack bool, sum string) (string, error) {
		spec, ok, err := source.ParseRemote(url)
		if !ok || err != nil {
			t.Fatalf("%s: %v %v", url, ok, err)
		}
		spec.Checksum = sum
		tr, err := source.OpenRemote(t.Context(), spec, o)
		if err != nil {
			return "", err
		}
		defer tr.Close()
		dst := tree(t)
		ops, _, err := copy.Plan(t.Context(), copy.Args{Dest: dest, Unpack: unpack, Sources: []copy.Source{{Tree: tr, Remote: true}}})
		if err != nil {
			return "", err
		}
		return dst, copy.Into(t.Context(), root(t, dst), ops, copy.Options{Epoch: epoch()})
	}
	dst, err := do(server.URL+"/dir/a.tar.gz?x=1", "/d/", false, "")
	must(t, err)
	if st := lstat(t, dst+"/d/a.tar.gz"); st.Mode != 0o100600 || st.Mtim.Sec != when.Unix() || st.Size != int64(len(data)) {
		t.Errorf("%+v", st)
	}
	sum := digest.FromBytes(data).String()
	dst, err = do(server.URL+"/dir/a.tar.gz?x=1", "/d", true, sum)
	must(t, err)
	if got := list(t, dst); len(got) != 1 || got[0] != "d/f=x" {
		t.Errorf("unpacked: %q", got)
	}
	if requests != 1 {
		t.Errorf("%d requests for content that is known by its checksum", requests)
	}
	for _, bad := range []struct{ url, dest, sum, want string }{
		{"/missing", "/d", "", "404 Not Found"},
		{"/other", "/d", "sha256:" + strings.Repeat("0", 64), "its checksum is " + sum},
		{"/x", "/d", "md5:00", "is written sha256:"},
		{"/", "/d/", "", "has no name for a file"},
	} {
		if _, err := do(server.URL+bad.url, bad.dest, false, bad.sum); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v", bad.url, err)
		}
	}
}
