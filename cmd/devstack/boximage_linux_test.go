package main

import (
	"archive/tar"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
)

// boxImage makes `boximage DIR [CONFIG.json]`: an image with busybox, a folder
// /srv/data of user 1000 and a configuration, as an OCI layout which `image:
// oci:DIR` names. `boximage docker://HOST/NAME:TAG` pushes it to a registry.
func boxImage(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 1 || len(args) > 2 {
			ts.Fatalf("usage: boximage DIR [CONFIG.json]")
		}
		var config image.Config
		if len(args) == 2 {
			if err := json.Unmarshal([]byte(ts.ReadFile(args[1])), &config); err != nil {
				ts.Fatalf("read %s: %v", args[1], err)
			}
		}
		owned := func(name, data string, mode int64) imagetest.Entry {
			return imagetest.Entry{Header: tar.Header{Name: name, Uid: 1000, Gid: 1000, Mode: mode}, Data: []byte(data)}
		}
		link := owned("srv/data/link", "", 0o777)
		link.Typeflag, link.Linkname = tar.TypeSymlink, "file"
		twin := owned("srv/data/twin", "", 0o640)
		twin.Typeflag, twin.Linkname = tar.TypeLink, "srv/data/file"
		img := imagetest.New(
			t, config, imagetest.Busybox(t),
			imagetest.Tar(t, owned("srv/", "", 0o755), owned("srv/data/", "", 0o750), owned("srv/data/file", "from the image\n", 0o640), link, twin),
		)
		if ref, ok := strings.CutPrefix(args[0], "docker://"); ok {
			host, name, _ := strings.Cut(ref, "/")
			(&imagetest.Registry{Host: host}).Push(t, name, img)
			return
		}
		imagetest.SaveOCI(t, ts.MkAbs(args[0]), "", img)
	}
}

// serveRegistry makes `registry [GATE]`: an empty registry, at the address in
// $REGISTRY. While there is a file GATE, a transfer of a layer stops in its
// middle, says so by making GATE.stopped, and goes on no more.
func serveRegistry(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 1 {
			ts.Fatalf("usage: registry [GATE]")
		}
		var wrap func(http.Handler) http.Handler
		if len(args) == 1 {
			wrap = gated(ts.MkAbs(args[0]))
		}
		ts.Setenv("REGISTRY", imagetest.Serve(t, wrap).Host)
	}
}

// gated stops transfers while there is a file gate.
func gated(gate string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := os.Stat(gate); err != nil || !strings.Contains(r.URL.Path, "/blobs/") {
				next.ServeHTTP(w, r)
				return
			}
			stop := func() {
				_ = os.WriteFile(gate+".stopped", nil, 0o600)
				_, _ = io.Copy(io.Discard, r.Body) // who has gone is noticed behind it alone
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			}
			switch {
			case r.Method == http.MethodGet:
				next.ServeHTTP(&stopping{ResponseWriter: w, stop: stop}, r)
			case r.ContentLength > halfway || r.ContentLength < 0:
				_, _ = io.CopyN(io.Discard, r.Body, halfway)
				stop()
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// halfway is after so many bytes: before the end of any layer with a program
// in it, and after that of any configuration.
const halfway = 100_000

// stopping is an answer that stops.
type stopping struct {
	http.ResponseWriter
	n    int
	stop func()
}

func (s *stopping) Write(b []byte) (int, error) {
	left := min(len(b), halfway-s.n)
	n, err := s.ResponseWriter.Write(b[:left])
	if s.n += n; err == nil && s.n >= halfway {
		s.ResponseWriter.(http.Flusher).Flush()
		s.stop()
	}
	return n, err
}
