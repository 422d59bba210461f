package main

import (
	"archive/tar"
	"encoding/json"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
)

// boxImage makes `boximage DIR [CONFIG.json]`: an OCI layout with busybox, a
// folder /srv/data of user 1000 and an image configuration, which `image:
// oci:DIR` names.
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
		imagetest.SaveOCI(t, ts.MkAbs(args[0]), "", img)
	}
}
