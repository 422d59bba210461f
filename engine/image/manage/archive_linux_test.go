package manage_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/layer"
	"devstack/engine/image/manage"
	"devstack/engine/image/store"
)

func save(t testing.TB, s *store.Store, o manage.SaveOptions, refs ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	must(t, manage.Save(t.Context(), s, &buf, refs, o))
	return buf.Bytes()
}

func load(t testing.TB, s *store.Store, archive []byte) []image.Image {
	t.Helper()
	images, err := manage.Load(t.Context(), s, "", bytes.NewReader(archive), manage.LoadOptions{})
	must(t, err)
	return images
}

func TestSaveAndLoad(t *testing.T) {
	s, root := openStore(t)
	base := named(t, s, root, "base:1")
	app := build(t, s, root, map[string]string{"app": "x"}, commit.Spec{Base: base, Tags: []string{"app:1", "reg.example/team/app:2"}})
	none := build(t, s, root, map[string]string{"none": "x"}, commit.Spec{})
	refs := []string{"app:1", "base:1", "reg.example/team/app:2", none.ID.Encoded()[:12], "base:1"}
	for _, format := range []string{"", manage.OCIArchive} {
		archive := save(t, s, manage.SaveOptions{Format: format}, refs...)
		if again := save(t, s, manage.SaveOptions{Format: format}, refs...); !bytes.Equal(archive, again) {
			t.Error("saved again it is another archive")
		}
		var gz bytes.Buffer
		zw := gzip.NewWriter(&gz)
		zw.Write(archive)
		must(t, zw.Close())
		file := filepath.Join(t.TempDir(), "saved.tar")
		must(t, os.WriteFile(file, archive, 0o600))
		for how, do := range map[string]func(s *store.Store) ([]image.Image, error){
			"stdin": func(s *store.Store) ([]image.Image, error) {
				return manage.Load(t.Context(), s, "", bytes.NewReader(archive), manage.LoadOptions{})
			},
			"compressed": func(s *store.Store) ([]image.Image, error) {
				return manage.Load(t.Context(), s, "", &gz, manage.LoadOptions{})
			},
			"file": func(s *store.Store) ([]image.Image, error) {
				return manage.Load(t.Context(), s, file, nil, manage.LoadOptions{})
			},
		} {
			other, otherRoot := openStore(t)
			images, err := do(other)
			must(t, err)
			if len(images) != 4 {
				t.Errorf("%s: %d images", how, len(images))
			}
			if d := cmp.Diff([]string{"<none>", "app:1", "base:1", "reg.example/team/app:2"}, names(t, other)); d != "" {
				t.Error(d)
			}
			got, err := other.Lookup(t.Context(), "app:1")
			must(t, err)
			if got.Manifest != app.Manifest || got.ID != app.ID {
				t.Errorf("%s: the image is another one: %s", how, got.Manifest)
			}
			if b, err := os.ReadFile(filepath.Join(got.Layers[1].Dir, "app")); err != nil || string(b) != "x" {
				t.Errorf("%s: %q, %v", how, b, err)
			}
			tidy(t, otherRoot)
		}
	}
}

// TestOthersReadOurs: go-containerregistry, as Docker does by manifest.json.
func TestOthersReadOurs(t *testing.T) {
	s, root := openStore(t)
	app := named(t, s, root, "app:1", "app:2")
	file := filepath.Join(t.TempDir(), "saved.tar")
	must(t, os.WriteFile(file, save(t, s, manage.SaveOptions{}, "app:1", "app:2"), 0o600))
	for _, tag := range []string{"app:1", "app:2"} {
		ref, err := name.NewTag(tag)
		must(t, err)
		img, err := tarball.ImageFromPath(file, &ref)
		must(t, err)
		must(t, validate.Image(img))
		if id, err := img.ConfigName(); err != nil || id.String() != string(app.ID) {
			t.Errorf("%v, %v", id, err)
		}
	}
}

func TestSaveOfSeveralPlatforms(t *testing.T) {
	s, root := openStore(t)
	var images []image.Image
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		images = append(images, build(t, s, root, map[string]string{"f": arch}, commit.Spec{Platform: ocispec.Platform{OS: "linux", Architecture: arch}}))
	}
	index, err := commit.Index(t.Context(), s, images, []string{"multi:1"}, nil)
	must(t, err)
	all := save(t, s, manage.SaveOptions{Format: manage.OCIArchive}, "multi:1")
	other, _ := openStore(t)
	if got := load(t, other, all); len(got) != 3 || got[0].Digest != index {
		t.Errorf("%+v", got)
	}
	one, _ := openStore(t)
	got, err := manage.Load(t.Context(), one, "", bytes.NewReader(all), manage.LoadOptions{Platform: "linux/arm64"})
	if err != nil || len(got) != 1 || got[0].Platform != "linux/arm64" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := manage.Load(t.Context(), one, "", bytes.NewReader(all), manage.LoadOptions{Platform: "linux/s390x"}); err == nil || !strings.Contains(err.Error(), "s390x") {
		t.Errorf("error is %v", err)
	}
	docker, _ := openStore(t)
	if got := load(t, docker, save(t, s, manage.SaveOptions{Platform: "linux/riscv64"}, "multi:1")); len(got) != 1 || got[0].Platform != "linux/riscv64" {
		t.Errorf("%+v", got)
	}
	if got := load(t, docker, save(t, s, manage.SaveOptions{}, "multi:1")); len(got) != 1 || got[0].Platform != image.FormatPlatform(image.HostPlatform()) {
		t.Errorf("%+v", got)
	}
}

// content is an archive by file names; a link's content begins with "-> ".
type content struct {
	names []string
	files map[string][]byte
}

func (c *content) put(name string, data []byte) {
	if c.files == nil {
		c.files = map[string][]byte{}
	}
	if _, ok := c.files[name]; !ok {
		c.names = append(c.names, name)
	}
	c.files[name] = data
}

func (c *content) putJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	c.put(name, b)
}

func (c *content) blob(b []byte) digest.Digest {
	d := digest.FromBytes(b)
	c.put("blobs/sha256/"+d.Encoded(), b)
	return d
}

func (c *content) tar(t testing.TB) []byte {
	t.Helper()
	var entries []imagetest.Entry
	for _, n := range c.names {
		e := imagetest.Entry{Header: tar.Header{Name: n}, Data: c.files[n]}
		if target, ok := strings.CutPrefix(string(e.Data), "-> "); ok {
			e = imagetest.Entry{Header: tar.Header{Name: n, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}}
		}
		entries = append(entries, e)
	}
	return imagetest.Tar(t, entries...)
}

// sample is an image's parts as those who write archives have them.
func sample(t testing.TB, arch string) (layers [][]byte, config []byte) {
	t.Helper()
	layers = [][]byte{imagetest.Files(t, map[string]string{"etc/": "", "etc/a": arch}), imagetest.Files(t, map[string]string{"b": "b"})}
	f := image.File{RootFS: ocispec.RootFS{Type: "layers"}, Platform: ocispec.Platform{OS: "linux", Architecture: arch}}
	f.Config.Cmd = []string{"/b"}
	for _, l := range layers {
		f.RootFS.DiffIDs = append(f.RootFS.DiffIDs, digest.FromBytes(l))
	}
	config, err := json.Marshal(f)
	must(t, err)
	return layers, config
}

type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// ociManifest puts an image as blobs.
func (c *content) ociManifest(t testing.TB, arch, layerType string) ocispec.Descriptor {
	t.Helper()
	layers, config := sample(t, arch)
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: c.blob(config), Size: int64(len(config))}
	for _, l := range layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: layerType, Digest: c.blob(l), Size: int64(len(l))})
	}
	b, err := json.Marshal(m)
	must(t, err)
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: c.blob(b), Size: int64(len(b))}
}

func annotated(d ocispec.Descriptor, kv ...string) ocispec.Descriptor {
	d.Annotations = map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		d.Annotations[kv[i]] = kv[i+1]
	}
	return d
}

func (c *content) index(t testing.TB, manifests ...ocispec.Descriptor) {
	t.Helper()
	c.put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	c.putJSON(t, "index.json", ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests})
}

const (
	containerdName = "io.containerd.image.name"
	refName        = ocispec.AnnotationRefName
)

// savedBy makes archives by the rules of the tools that people have.
func savedBy(t testing.TB) map[string]struct {
	archive []byte
	want    string
} {
	t.Helper()
	layers, config := sample(t, runtime.GOARCH)
	id, l0, l1 := digest.FromBytes(config).Encoded(), digest.FromBytes(layers[0]).Encoded(), digest.FromBytes(layers[1]).Encoded()
	out := map[string]struct {
		archive []byte
		want    string
	}{}
	add := func(tool, want string, make func(c *content)) {
		var c content
		make(&c)
		out[tool] = struct {
			archive []byte
			want    string
		}{c.tar(t), want}
	}
	// Docker 25 and later with its own store: layers are not compressed, an
	// entry of the index for every tag, manifest.json beside.
	add("docker", "app:1 app:2", func(c *content) {
		d := c.ociManifest(t, runtime.GOARCH, ocispec.MediaTypeImageLayer)
		c.putJSON(t, "manifest.json", []saved{{"blobs/sha256/" + id, []string{"app:1", "app:2"}, []string{"blobs/sha256/" + l0, "blobs/sha256/" + l1}}})
		c.index(t, annotated(d, containerdName, "docker.io/library/app:1", refName, "1"), annotated(d, containerdName, "docker.io/library/app:2", refName, "2"))
		c.putJSON(t, "repositories", map[string]any{"app": map[string]string{"1": l1, "2": l1}})
	})
	add("docker without a name", "<none>", func(c *content) {
		d := c.ociManifest(t, runtime.GOARCH, ocispec.MediaTypeImageLayer)
		c.putJSON(t, "manifest.json", []saved{{"blobs/sha256/" + id, nil, []string{"blobs/sha256/" + l0, "blobs/sha256/" + l1}}})
		c.index(t, d)
	})
	// Docker with containerd's store: the index of the image as it was
	// pulled, with platforms and attestations that are not there.
	add("docker on containerd", "app:1", func(c *content) {
		d := c.ociManifest(t, runtime.GOARCH, ocispec.MediaTypeImageLayer)
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
		gone := ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.FromString("gone"), Size: 4, Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}}
		att := annotated(ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.FromString("att"), Size: 4, Platform: &ocispec.Platform{OS: "unknown", Architecture: "unknown"}}, "vnd.docker.reference.type", "attestation-manifest")
		b, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{gone, d, att}})
		must(t, err)
		top := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: c.blob(b), Size: int64(len(b))}
		c.index(t, annotated(top, containerdName, "docker.io/library/app:1", refName, "1"))
		c.putJSON(t, "manifest.json", []saved{{"blobs/sha256/" + id, []string{"app:1"}, []string{"blobs/sha256/" + l0, "blobs/sha256/" + l1}}})
	})
	// Docker before 25: a directory for each layer, repeated ones as links.
	add("old docker", "app:1 reg.example/app:1", func(c *content) {
		c.put("aaa/VERSION", []byte("1.0"))
		c.put("aaa/json", []byte("{}"))
		c.put("aaa/layer.tar", layers[0])
		c.put("bbb/layer.tar", layers[1])
		c.put("ccc/layer.tar", []byte("-> ../aaa/layer.tar"))
		c.put(id+".json", config)
		c.putJSON(t, "manifest.json", []saved{{id + ".json", []string{"app:1", "reg.example/app:1"}, []string{"ccc/layer.tar", "bbb/layer.tar"}}})
		c.putJSON(t, "repositories", map[string]any{"app": map[string]string{"1": "bbb"}})
	})
	// podman save: layers by their diff-id, with links for older readers.
	add("podman", "localhost/app:1", func(c *content) {
		c.put(l0+".tar", layers[0])
		c.put("aaa/layer.tar", []byte("-> ../"+l0+".tar"))
		c.put("aaa/VERSION", []byte("1.0"))
		c.put(l1+".tar", layers[1])
		c.put(id+".json", config)
		c.putJSON(t, "repositories", map[string]any{"localhost/app": map[string]string{"1": "aaa"}})
		c.putJSON(t, "manifest.json", []saved{{id + ".json", []string{"localhost/app:1"}, []string{l0 + ".tar", l1 + ".tar"}}})
	})
	add("podman -m", "<none> app:1", func(c *content) {
		c.put(l0+".tar", layers[0])
		c.put(l1+".tar", layers[1])
		c.put(id+".json", config)
		more, err := json.Marshal(image.File{RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layers[1])}}, Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}})
		must(t, err)
		c.put("2.json", more)
		c.putJSON(t, "manifest.json", []saved{{id + ".json", []string{"docker.io/library/app:1"}, []string{l0 + ".tar", l1 + ".tar"}}, {"2.json", []string{}, []string{l1 + ".tar"}}})
	})
	add("podman --format oci-archive", "localhost/app:1", func(c *content) {
		c.index(t, annotated(c.ociManifest(t, runtime.GOARCH, ocispec.MediaTypeImageLayer), refName, "localhost/app:1"))
	})
	// skopeo copy oci-archive:FILE:TAG: a tag alone is no name.
	add("skopeo", "<none>", func(c *content) {
		c.index(t, annotated(c.ociManifest(t, runtime.GOARCH, ocispec.MediaTypeImageLayer), refName, "latest"))
	})
	// buildx --output type=oci with provenance.
	add("buildx", "app:1", func(c *content) {
		d := c.ociManifest(t, runtime.GOARCH, ocispec.MediaTypeImageLayer)
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
		att := annotated(c.ociManifest(t, "unknown", ocispec.MediaTypeImageLayer), "vnd.docker.reference.type", "attestation-manifest")
		b, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d, att}})
		must(t, err)
		top := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: c.blob(b), Size: int64(len(b))}
		c.index(t, annotated(top, containerdName, "docker.io/library/app:1", refName, "1"))
	})
	return out
}

func TestLoadOfOthers(t *testing.T) {
	for tool, tt := range savedBy(t) {
		t.Run(tool, func(t *testing.T) {
			s, root := openStore(t)
			images := load(t, s, tt.archive)
			if got := strings.Join(names(t, s), " "); got != tt.want {
				t.Errorf("names are %s, want %s", got, tt.want)
			}
			for _, img := range images {
				top := img.Layers[len(img.Layers)-1]
				if b, err := os.ReadFile(filepath.Join(top.Dir, "b")); err != nil || string(b) != "b" {
					t.Errorf("%q, %v", b, err)
				}
			}
			tidy(t, root)
			save(t, s, manage.SaveOptions{}, images[0].Ref) // has all blobs
		})
	}
}

// TestBlobsOfKnownLayers: a layer that is unpacked already is still brought
// as the blob that this image's manifest names.
func TestBlobsOfKnownLayers(t *testing.T) {
	s, _ := openStore(t)
	layers, _ := sample(t, runtime.GOARCH)
	ref := imagetest.SaveDockerArchive(t, filepath.Join(t.TempDir(), "gz.tar"), "gz:1", imagetest.New(t, image.Config{}, layers[0], layers[1]))
	_, err := manage.Load(t.Context(), s, strings.TrimPrefix(ref, "docker-archive:"), nil, manage.LoadOptions{})
	must(t, err)
	images := load(t, s, savedBy(t)["podman"].archive)
	save(t, s, manage.SaveOptions{}, images[0].Ref, "gz:1")
}

// TestBadArchives: what is broken or no image is refused in words, and leaves
// nothing.
func TestBadArchives(t *testing.T) {
	good := savedBy(t)["docker"].archive
	old := savedBy(t)["old docker"].archive
	var empty, noBlob, wrong content
	empty.index(t)
	noBlob.index(t, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1})
	wrong.putJSON(t, "manifest.json", []saved{{"../../etc/passwd", nil, nil}})
	for name, tt := range map[string]struct {
		archive []byte
		want    string
	}{
		"empty file":       {nil, "no image"},
		"a root fs":        {imagetest.Files(t, map[string]string{"etc/": "", "etc/passwd": "x"}), "rootfs:"},
		"garbage":          {bytes.Repeat([]byte("garbage "), 1000), "tar"},
		"truncated":        {good[:len(good)/2], "truncated"},
		"damaged layer":    {bytes.ReplaceAll(good, []byte("etc/a"), []byte("etc/x")), "corrupt"},
		"damaged old one":  {bytes.ReplaceAll(old, []byte("etc/a"), []byte("etc/x")), "corrupt"},
		"no image":         {empty.tar(t), "no image"},
		"no blob":          {noBlob.tar(t), "missing"},
		"path out of it":   {wrong.tar(t), "no file"},
		"wrong json":       {(&content{[]string{"index.json"}, map[string][]byte{"index.json": []byte("[}")}}).tar(t), "parse index.json"},
		"compressed wrong": {[]byte("\xfd7zXZ\x00 and more"), "xz"},
	} {
		t.Run(name, func(t *testing.T) {
			s, root := openStore(t)
			_, err := manage.Load(t.Context(), s, "", bytes.NewReader(tt.archive), manage.LoadOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v", err)
			} else {
				t.Log(err)
			}
			if n := names(t, s); len(n) > 0 {
				t.Errorf("names: %v", n)
			}
			tidy(t, root)
		})
	}
}

// TestSaveOfADamagedStore: a wrong blob is noticed, not saved.
func TestSaveOfADamagedStore(t *testing.T) {
	s, root := openStore(t)
	img := named(t, s, root, "a:1")
	path := filepath.Join(root, "images/blobs/sha256", img.Layers[0].Digest.Encoded())
	b, err := os.ReadFile(path)
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(path, b, 0o600))
	var corrupt *layer.DigestError
	if err := manage.Save(t.Context(), s, io.Discard, []string{"a:1"}, manage.SaveOptions{}); !errors.As(err, &corrupt) {
		t.Errorf("error is %v", err)
	}
	if err := manage.Save(t.Context(), s, io.Discard, []string{"a:1"}, manage.SaveOptions{}); image.Hint(err) == "" {
		t.Errorf("error is %v", err)
	}
}

// tidy finds what should not be there when nobody writes.
func tidy(t testing.TB, root string) {
	t.Helper()
	for _, dir := range []string{"images/ingest", "layers/ingest"} {
		left, err := os.ReadDir(filepath.Join(root, dir))
		must(t, err)
		if !slices.Equal(left, []fs.DirEntry{}) {
			t.Errorf("%s is not empty: %v", dir, left)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range savedBy(f) {
		f.Add(s.archive)
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		s, root := openStore(t)
		images, err := manage.Load(t.Context(), s, "", bytes.NewReader(archive), manage.LoadOptions{})
		if err == nil && len(images) == 0 {
			t.Error("nothing, and no error")
		}
		tidy(t, root)
	})
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"until=24h", "until=10d", "until=2024-01-31", "until=2024-01-31T10:00:00Z", "until=1700000000.5", "label=a=b", "label!=a", "dangling=true", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := manage.ParseFilter([]string{s}, epoch)
		if err == nil && got.Until.IsZero() && len(got.Labels) == 0 && got.Dangling == nil {
			t.Errorf("%q says nothing", s)
		}
	})
}
