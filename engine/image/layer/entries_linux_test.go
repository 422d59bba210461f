package layer_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/image/imagetest"
	"devstack/engine/image/layer"
)

// FuzzEntries puts entries together of what is dangerous about archives: few
// names that meet again and again, links of both kinds to each of them and out
// of the tree, marks of overlays. Whatever comes of it, nothing outside is
// read, written, linked or changed.
func FuzzEntries(f *testing.F) {
	f.Add([]byte{2, 0, 0x70, 0, 0, 0x01}) // a -> outside, a/b
	f.Add([]byte{2, 0, 0x71, 1, 0, 0x01, 3, 2, 0x72, 4, 0, 0x01, 0, 2, 0x02})
	f.Fuzz(func(t *testing.T, data []byte) {
		base := imagetest.TempDir(t)
		dir, outside := filepath.Join(base, "fs"), filepath.Join(base, "outside")
		for _, d := range []string{dir, outside} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		canary := filepath.Join(outside, "b")
		if err := os.WriteFile(canary, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Unix(1000, 0)
		for _, path := range []string{canary, outside} {
			if err := os.Chtimes(path, then, then); err != nil {
				t.Fatal(err)
			}
		}
		archive := imagetest.Tar(t, entriesOf(data, outside)...)
		unpacked := layer.Unpack(t.Context(), bytes.NewReader(archive), dir, layer.Limits{Entries: 100}) // it may well be refused
		for path, mode := range map[string]uint32{canary: unix.S_IFREG | 0o600, outside: unix.S_IFDIR | 0o755} {
			st := lstat(t, path)
			if st.Mode != mode || st.Mtim.Sec != then.Unix() || st.Uid != 0 || path == canary && st.Nlink != 1 {
				t.Fatalf("%s was changed: %+v (%v)", path, st, unpacked)
			}
		}
		for path, want := range map[string]int{base: 2, outside: 1} {
			if names, err := os.ReadDir(path); err != nil || len(names) != want {
				t.Fatalf("something was made outside: %v, %v", names, err)
			}
		}
		if b, err := os.ReadFile(canary); err != nil || string(b) != "x" {
			t.Fatalf("canary is %q, %v", b, err)
		}
		if err := layer.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	})
}

// entriesOf reads three bytes an entry: its kind, two components of its name,
// and what it links to.
func entriesOf(data []byte, outside string) []entry {
	parts := []string{"a", "b", "c", "..", ".", "", ".wh.a", ".wh..wh..opq", ".wh.b", "outside", "/", ".wh...", ".wh.", "a/b", "fs", "..data"}
	name := func(x byte) string { return parts[x&15] + "/" + parts[x>>4] }
	kinds := []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeFifo, tar.TypeChar}
	var entries []entry
	for ; len(data) >= 3 && len(entries) < 64; data = data[3:] {
		h := tar.Header{Typeflag: kinds[int(data[0])%len(kinds)], Name: name(data[1]), Uid: int(data[0] >> 6), Mode: 0o777}
		var content []byte
		switch h.Typeflag {
		case tar.TypeReg:
			content = []byte("evil")
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname = name(data[2])
			switch data[2] >> 4 {
			case 7:
				h.Linkname = outside
			case 8:
				h.Linkname = "../" + filepath.Base(outside)
			case 9:
				h.Linkname = "../" + filepath.Base(outside) + "/b"
			}
		}
		if strings.Trim(h.Name, "/") == "" {
			h.Name = "./"
		}
		if h.Typeflag != tar.TypeDir && strings.HasSuffix(h.Name, "/") {
			h.Name = strings.TrimRight(h.Name, "/")
		}
		entries = append(entries, entry{Header: h, Data: content})
	}
	return entries
}
