package commit_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/store"
)

func layerOf(t testing.TB, s *store.Store, root, name, data string) image.Layer {
	t.Helper()
	dir := filepath.Join(root, "upper")
	must(t, os.Mkdir(dir, 0o755))
	write(t, filepath.Join(dir, name), data, 0o644)
	l, err := commit.Layer(t.Context(), s, dir, commit.Options{Epoch: epoch})
	must(t, err)
	return l
}

// spec uses every field, and maps with several keys.
func spec(layers ...image.Layer) commit.Spec {
	c := image.Config{Healthcheck: &image.Healthcheck{Test: []string{"CMD", "true"}}, Shell: []string{"/bin/bash", "-c"}}
	c.Env, c.Cmd, c.Labels = []string{"A=b"}, []string{"run"}, map[string]string{"z": "1", "a": "2", "m": "3"}
	c.ExposedPorts = map[string]struct{}{"80/tcp": {}, "443/tcp": {}}
	return commit.Spec{
		Layers: layers, Config: c, Created: epoch, Author: "me", Annotations: map[string]string{"y": "1", "b": "2"},
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, Tags: []string{"app", "app:1", "docker.io/library/app:latest", "reg.example/team/app:2"},
		History: []ocispec.History{{CreatedBy: "ENV A=b", EmptyLayer: true}, {CreatedBy: "COPY a /"}},
	}
}

func TestImage(t *testing.T) {
	var first image.Image
	for i := range 2 {
		s, root := openStore(t)
		img, err := commit.Image(t.Context(), s, spec(layerOf(t, s, root, "a", "1")))
		must(t, err)
		if i == 0 {
			first = img
		} else if img.Manifest != first.Manifest || img.ID != first.ID || img.Digest != first.Digest {
			t.Errorf("the same spec gives %s, then %s", first.Manifest, img.Manifest)
		}
		for _, tag := range []string{"app", "app:1", "reg.example/team/app:2", img.ID.Encoded()[:12]} {
			got, err := s.Lookup(t.Context(), tag)
			must(t, err)
			if got.Manifest != img.Manifest {
				t.Errorf("%s is %s", tag, got.Manifest)
			}
		}
		if d := cmp.Diff(spec().Config, img.Config); d != "" {
			t.Error(d)
		}
		p, err := layout.ImageIndexFromPath(filepath.Join(root, "images"))
		must(t, err)
		other, err := p.Image(mustHash(t, img.Manifest))
		must(t, err)
		must(t, validate.Image(other))
	}
}

// TestImageOnBase: layers and history of the base come first, and a step that
// changes the configuration only shares all layers.
func TestImageOnBase(t *testing.T) {
	s, root := openStore(t)
	one, err := commit.Image(t.Context(), s, spec(layerOf(t, s, root, "a", "1")))
	must(t, err)
	two, err := commit.Image(t.Context(), s, commit.Spec{Base: one, Layers: []image.Layer{layerOf(t, s, root, "b", "2")}})
	must(t, err)
	if len(two.Layers) != 2 || two.Layers[0] != one.Layers[0] || two.Platform != "linux/amd64" {
		t.Errorf("%+v", two)
	}
	if two.Ref != string(two.ID) {
		t.Errorf("an image without tags goes by %s", two.Ref)
	}
	if got := historyOf(t, s, two); got != "ENV A=b,COPY a /,devstack" {
		t.Errorf("history is %s", got)
	}
	found, err := s.Lookup(t.Context(), two.ID.Encoded()[:12])
	must(t, err)
	if found.ID != two.ID {
		t.Error("not found by its ID")
	}
	pulled := base(t, s) // its tool wrote a history, or none
	three, err := commit.Image(t.Context(), s, commit.Spec{Base: pulled, Layers: two.Layers[1:], History: []ocispec.History{{CreatedBy: "RUN x"}}})
	must(t, err)
	if got := historyOf(t, s, three); !strings.HasSuffix(got, ",RUN x") || strings.Count(got, ",") != 1 {
		t.Errorf("history is %q", got)
	}
}

func historyOf(t testing.TB, s *store.Store, img image.Image) string {
	t.Helper()
	b, err := s.ReadBlob(img.ID)
	must(t, err)
	var f image.File
	must(t, json.Unmarshal(b, &f))
	var all []string
	for _, h := range f.History {
		all = append(all, h.CreatedBy)
	}
	return strings.Join(all, ",")
}

func TestRefusedImages(t *testing.T) {
	s, root := openStore(t)
	l := layerOf(t, s, root, "a", "1")
	for want, spec := range map[string]commit.Spec{
		"2 steps with a layer":       {Layers: []image.Layer{l}, History: make([]ocispec.History, 2)},
		"directory of this machine":  {Base: image.Image{Root: "/"}},
		"is no tag":                  {Tags: []string{"rootfs:/"}},
		"is not a valid host name":   {Tags: []string{"_:1/x"}},
		"not in the store|not found": {Base: image.Image{ID: l.DiffID}},
	} {
		_, err := commit.Image(t.Context(), s, spec)
		if err == nil {
			t.Errorf("%s: accepted", want)
			continue
		}
		ok := false
		for _, w := range strings.Split(want, "|") {
			ok = ok || strings.Contains(err.Error(), w)
		}
		if !ok {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
	if images, err := s.List(t.Context()); err != nil || len(images) > 0 {
		t.Errorf("%v, %v", images, err)
	}
}

func TestIndex(t *testing.T) {
	s, root := openStore(t)
	var images []image.Image
	for _, arch := range []string{"arm64", "amd64"} {
		sp := spec(layerOf(t, s, root, "a", arch))
		sp.Platform.Architecture, sp.Tags = arch, nil
		img, err := commit.Image(t.Context(), s, sp)
		must(t, err)
		images = append(images, img)
	}
	d, err := commit.Index(t.Context(), s, images, []string{"multi:1"}, nil)
	must(t, err)
	if again, err := commit.Index(t.Context(), s, []image.Image{images[1], images[0]}, []string{"multi:2"}, nil); err != nil || again != d {
		t.Errorf("in the other order: %s, %v", again, err)
	}
	for i, arch := range []string{"arm64", "amd64"} {
		e, err := s.Find("multi:1", "linux/"+arch)
		must(t, err)
		if e.Source != d || e.Manifest.Digest != images[i].Manifest {
			t.Errorf("%s is %+v", arch, e)
		}
	}
	if got, err := s.GC(t.Context()); err != nil || got.Blobs != 0 {
		t.Errorf("collected %+v, %v", got, err)
	}
}

func mustHash(t testing.TB, d digest.Digest) v1.Hash {
	t.Helper()
	h, err := v1.NewHash(string(d))
	must(t, err)
	return h
}
