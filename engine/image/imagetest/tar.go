package imagetest

import (
	"archive/tar"
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Entry is one entry of a layer. Header.Size is filled in, and ModTime, Mode
// and Typeflag where they are zero.
type Entry struct {
	tar.Header
	Data []byte
}

// Layer is the tar stream of a layer.
type Layer []byte

// Epoch is the modification time of entries that say none.
func Epoch() time.Time { return time.Unix(1_700_000_000, 0) }

// Tar makes a layer of entries, in their order.
func Tar(t testing.TB, entries ...Entry) Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(h.Name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if h.ModTime.IsZero() {
			h.ModTime = Epoch()
		}
		if h.Format == tar.FormatUnknown {
			h.Format = tar.FormatPAX // the others round times to seconds
		}
		h.Size = int64(len(e.Data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("make layer: %v", err)
		}
		if _, err := w.Write(e.Data); err != nil {
			t.Fatalf("make layer: %v", err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatalf("make layer: %v", err)
	}
	return buf.Bytes()
}

// Files makes a layer of files by name. A name ending in "/" is a directory,
// content beginning with "-> " a symbolic link; what begins with "#!" or an
// ELF header is executable.
func Files(t testing.TB, files map[string]string) Layer {
	t.Helper()
	var entries []Entry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		e := Entry{Header: tar.Header{Name: name}, Data: []byte(files[name])}
		if target, ok := strings.CutPrefix(files[name], "-> "); ok {
			e = Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}}
		} else if strings.HasPrefix(files[name], "#!") || strings.HasPrefix(files[name], "\x7fELF") {
			e.Mode = 0o755
		}
		entries = append(entries, e)
	}
	return Tar(t, entries...)
}

// Busybox is a layer with a static busybox and its commands in /bin, and the
// directories and files that programs expect. It needs the package
// busybox-static.
func Busybox(t testing.TB) Layer {
	t.Helper()
	path := "/usr/bin/busybox"
	if _, err := os.Stat(path); err != nil {
		path = "/bin/busybox"
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("busybox-static is not installed: %v", err)
	}
	dir := func(name string, mode int64) Entry { return Entry{Header: tar.Header{Name: name, Mode: mode}} }
	file := func(name, data string) Entry { return Entry{Header: tar.Header{Name: name}, Data: []byte(data)} }
	entries := []Entry{
		dir("bin/", 0), dir("etc/", 0), dir("proc/", 0), dir("sys/", 0), dir("dev/", 0), dir("root/", 0o700),
		dir("run/", 0), dir("tmp/", 0o1777), dir("var/", 0), dir("home/", 0),
		file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\napp:x:1000:1000:app:/home:/bin/sh\n"),
		file("etc/group", "root:x:0:\nnogroup:x:65534:\napp:x:1000:\nextra:x:2000:app\n"),
		{Header: tar.Header{Name: "bin/busybox", Mode: 0o755}, Data: program},
	}
	for _, cmd := range strings.Fields(busyboxCommands) {
		entries = append(entries, Entry{Header: tar.Header{Name: "bin/" + cmd, Typeflag: tar.TypeLink, Linkname: "bin/busybox", Mode: 0o755}})
	}
	return Tar(t, entries...)
}

const busyboxCommands = `sh ash cat ls echo sleep true false mkdir rmdir rm mv cp ln touch chmod chown id env
	printenv hostname ip nc wget httpd nslookup ping grep sed awk head tail wc sort uniq tr cut date stat test [ expr
	ps kill mount umount df du find xargs tee dd od md5sum sha256sum tar gzip gunzip vi which whoami seq yes usleep
	sync readlink realpath basename dirname printf uname free top nproc mknod mkfifo stty tty timeout time`
