package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestRegistryOfOneImage(t *testing.T) {
	img := &bigImage{dir: t.TempDir(), manifest: []byte("manifest")}
	d := digest.FromString("blob")
	if err := os.WriteFile(filepath.Join(img.dir, string(d)), []byte("blob"), 0o600); err != nil {
		t.Fatal(err)
	}
	host, stop, err := img.serve()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for path, want := range map[string]string{
		"/v2/": "200 ", "/v2/bench/manifests/1": "200 manifest", "/v2/bench/blobs/" + string(d): "200 blob",
		"/v2/bench/blobs/../blobs": "404 ", "/v2/bench/blobs/sha256:x": "404 ",
	} {
		resp, err := http.Get("http://" + host + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.HasPrefix(resp.Status[:4]+string(b), want) {
			t.Errorf("%s: %s %q, %v", path, resp.Status, b, err)
		}
	}
}

func TestUseOfAProcess(t *testing.T) {
	use, err := useOf("/proc/self")
	if err != nil || use.peak < 1<<20 || use.peak > 1<<32 || use.cpu < 0 {
		t.Errorf("%+v, %v", use, err)
	}
}
