package fetch

import (
	"maps"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/opencontainers/go-digest"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
)

// TestResolve: an index stands for itself and a manifest for each platform, a
// manifest for the platform of its configuration. No layer is fetched.
func TestResolve(t *testing.T) {
	var asked sync.Map // paths
	reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				asked.Store(path.Base(r.URL.Path), true)
			}
			next.ServeHTTP(w, r)
		})
	})
	amd := imagetest.Build(t, imagetest.Spec{Architecture: "amd64", Layers: []imagetest.Layer{bulk(t, 1000)}})
	arm := imagetest.Build(t, imagetest.Spec{Architecture: "arm64", Variant: "v8"})
	old := imagetest.Build(t, imagetest.Spec{Architecture: "arm", Variant: "v7"})
	again := imagetest.Build(t, imagetest.Spec{Architecture: "amd64"})
	index := imagetest.Index(t, amd, arm, old, again)
	// What BuildKit adds of each image: provenance, for no platform.
	index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: imagetest.New(t, image.Config{}), Descriptor: v1.Descriptor{
		Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
	}})
	many, one := reg.PushIndex(t, "many:1", index), reg.Push(t, "one:1", arm)
	bottom, err := amd.Layers()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]digest.Digest{
		"linux/amd64": digest.Digest(digestOf(t, amd)), "linux/arm64": digest.Digest(digestOf(t, arm)), "linux/arm/v7": digest.Digest(digestOf(t, old)),
	}
	top := digest.Digest(digestOf(t, index))
	single := digest.Digest(digestOf(t, arm))
	for ref, want := range map[string]Resolved{
		many:                     {top, all},
		many + "@" + string(top): {top, all},
		one:                      {single, map[string]digest.Digest{"linux/arm64": single}},
		reg.Host + "/many@" + string(all["linux/arm/v7"]): {all["linux/arm/v7"], map[string]digest.Digest{"linux/arm/v7": all["linux/arm/v7"]}},
	} {
		got, err := Resolve(t.Context(), ref, quick(t))
		if err != nil || got.Digest != want.Digest || !maps.Equal(got.Platforms, want.Platforms) {
			t.Errorf("%s: %+v, %v; want %+v", ref, got, err, want)
		}
	}
	if _, ok := asked.Load(digestOf(t, bottom[0])); ok {
		t.Error("a layer was fetched")
	}
	for ref, want := range map[string]string{
		reg.Host + "/many:2": "has no tag 2", "rootfs:/": "it lies in no registry", "oci:/nowhere": "it lies in no registry", "Not/Valid": "Not/Valid",
	} {
		if _, err := Resolve(t.Context(), ref, quick(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// digestOf is that of an image, an index or a layer.
func digestOf(t testing.TB, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}
