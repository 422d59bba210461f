package main

import (
	"archive/tar"
	"encoding/json"
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

// serveRegistry makes `registry`: an empty registry, at the address in
// $REGISTRY.
func serveRegistry(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 0 {
			ts.Fatalf("usage: registry")
		}
		ts.Setenv("REGISTRY", imagetest.Serve(t, nil).Host)
	}
}
