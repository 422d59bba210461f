package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/layer"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// layoutOf writes a layout by hand, so that it can be wrong.
func layoutOf(t testing.TB, diffID digest.Digest, blob []byte) string {
	t.Helper()
	dir := t.TempDir()
	put := func(b []byte) ocispec.Descriptor {
		d := digest.FromBytes(b)
		path := filepath.Join(dir, "blobs/sha256", d.Encoded())
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return ocispec.Descriptor{Digest: d, Size: int64(len(b))}
	}
	asJSON := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	config := put(asJSON(map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": []digest.Digest{diffID}}}))
	config.MediaType = ocispec.MediaTypeImageConfig
	l := put(blob)
	l.MediaType = ocispec.MediaTypeImageLayerGzip
	manifest := put(asJSON(map[string]any{"schemaVersion": 2, "config": config, "layers": []ocispec.Descriptor{l}}))
	manifest.MediaType = ocispec.MediaTypeImageManifest
	index := asJSON(map[string]any{"schemaVersion": 2, "manifests": []ocispec.Descriptor{manifest}})
	if err := os.WriteFile(filepath.Join(dir, "index.json"), index, 0o600); err != nil {
		t.Fatal(err)
	}
	return "oci:" + dir
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// refusedWhole asserts that an image is refused and the store untouched.
func refusedWhole(t *testing.T, ref string, o Options, want string) {
	t.Helper()
	s, root := openStore(t)
	before := contents(t, root)
	_, err := Ensure(t.Context(), s, ref, o)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %q", err, want)
	}
	var known *image.Error
	if !errors.As(err, &known) {
		t.Errorf("error does not name the image: %v", err)
	}
	if after := contents(t, root); after != before {
		t.Errorf("store changed:\n%s", after)
	}
	checkTidy(t, root)
}

func TestWrongDiffID(t *testing.T) {
	l := imagetest.Files(t, map[string]string{"a": "b"})
	ref := layoutOf(t, digest.FromString("something else"), gzipped(t, l))
	refusedWhole(t, ref, Options{}, "layer content is corrupt")
}

// TestTrailingBytesBelongToTheDiffID appends to the tar stream, which tar
// readers do not see.
func TestTrailingBytesBelongToTheDiffID(t *testing.T) {
	l := imagetest.Files(t, map[string]string{"a": "b"})
	blob := gzipped(t, append(bytes.Clone(l), bytes.Repeat([]byte("x"), 5000)...))
	refusedWhole(t, layoutOf(t, digest.FromBytes(l), blob), Options{}, "layer content is corrupt")
}

func TestHostileLayerLeavesNothing(t *testing.T) {
	l := imagetest.Tar(t,
		imagetest.Entry{Header: tar.Header{Name: "fine"}},
		imagetest.Entry{Header: tar.Header{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}},
		imagetest.Entry{Header: tar.Header{Name: "out/evil"}},
	)
	refusedWhole(t, layoutOf(t, digest.FromBytes(l), gzipped(t, l)), Options{}, `layer refused: entry "out/evil"`)
}

func TestBombs(t *testing.T) {
	zeros := make([]byte, 64<<20)
	limits := Options{Limits: layer.Limits{Bytes: 1 << 20}}
	inside := imagetest.Tar(t, imagetest.Entry{Header: tar.Header{Name: "zeros"}, Data: zeros})
	refusedWhole(t, layoutOf(t, digest.FromBytes(inside), gzipped(t, inside)), limits, "limit of 1048576 bytes")
	after := append(imagetest.Files(t, map[string]string{"a": "b"}), zeros...)
	refusedWhole(t, layoutOf(t, digest.FromBytes(after), gzipped(t, after)), limits, "more than 1048576 bytes")
}

// TestLimitOfTheCaller: who calls may set the limit, also of archives.
func TestLimitOfTheCaller(t *testing.T) {
	l := imagetest.Tar(t, imagetest.Entry{Header: tar.Header{Name: "zeros"}, Data: make([]byte, 8<<20)})
	ref := layoutOf(t, digest.FromBytes(l), gzipped(t, l))
	with := func(limit string) Options {
		return Options{Registry: registry.New(registry.Options{Environ: []string{LimitVariable + "=" + limit}})}
	}
	refusedWhole(t, ref, with("1m"), "limit of 1048576 bytes")
	s, _ := openStore(t)
	_, err := Ensure(t.Context(), s, ref, with("1m"))
	if hint := image.Hint(err); !strings.Contains(hint, LimitVariable) {
		t.Errorf("hint is %q", hint)
	}
	if _, err := Ensure(t.Context(), s, ref, with("much")); err == nil || !strings.Contains(err.Error(), LimitVariable+"=much is no size") {
		t.Errorf("error is %v", err)
	}
	if _, err := Ensure(t.Context(), s, ref, with("10m")); err != nil {
		t.Error(err)
	}
	archive := gzipped(t, imagetest.Tar(t, imagetest.Entry{Header: tar.Header{Name: "index.json"}, Data: make([]byte, 8<<20)}))
	_, err = Load(t.Context(), s, "", bytes.NewReader(archive), LoadOptions{Limits: layer.Limits{Bytes: 1 << 20}})
	if err == nil || !strings.Contains(err.Error(), "archive refused: it unpacks to more than 4194304 bytes") {
		t.Errorf("error is %v", err)
	}
}

// TestLoadOfAFlatDirectory: as podman save --format docker-dir writes.
func TestLoadOfAFlatDirectory(t *testing.T) {
	img := imagetest.New(t, image.Config{}, bulk(t, 1000))
	layout := t.TempDir()
	imagetest.SaveOCI(t, layout, "", img)
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	blobs, err := filepath.Glob(filepath.Join(layout, "blobs/sha256/*"))
	if err != nil || len(blobs) != 3 {
		t.Fatalf("%v, %v", blobs, err)
	}
	for _, b := range blobs {
		if err := os.Rename(b, filepath.Join(dir, filepath.Base(b))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s, root := openStore(t)
	images, err := Load(t.Context(), s, dir, nil, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := img.Digest()
	if err != nil || len(images) != 1 || string(images[0].Manifest) != want.String() {
		t.Errorf("loaded %v, want %s", images, want)
	}
	checkTidy(t, root)
}

func TestDamagedArchives(t *testing.T) {
	dir := t.TempDir()
	img := imagetest.New(t, image.Config{}, bulk(t, 300_000))
	docker, oci := filepath.Join(dir, "docker.tar"), filepath.Join(dir, "oci.tar")
	dockerRef, ociRef := imagetest.SaveDockerArchive(t, docker, "web:1", img), imagetest.SaveOCIArchive(t, oci, "", img)
	for _, file := range []string{docker, oci} {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ref := dockerRef
		if file == oci {
			ref = ociRef
		}
		for name, damaged := range map[string][]byte{
			"truncated": whole[:len(whole)/2], "noise": bytes.Repeat([]byte("noise"), 2000), "empty": {},
		} {
			t.Run(filepath.Base(file)+" "+name, func(t *testing.T) {
				if err := os.WriteFile(file, damaged, 0o600); err != nil {
					t.Fatal(err)
				}
				refusedWhole(t, ref, Options{}, "")
			})
		}
		t.Run(filepath.Base(file)+" compressed", func(t *testing.T) {
			if err := os.WriteFile(file, gzipped(t, whole), 0o600); err != nil {
				t.Fatal(err)
			}
			s, root := openStore(t)
			if _, err := Ensure(t.Context(), s, ref, Options{}); err != nil {
				t.Fatal(err)
			}
			checkTidy(t, root)
		})
	}
	refusedWhole(t, "oci:"+filepath.Join(dir, "nowhere"), Options{}, "does not exist")
	refusedWhole(t, "docker-archive:"+docker+":other:2", Options{}, `no image "other:2" (it has: `)
	refusedWhole(t, "rootfs:"+filepath.Join(dir, "nowhere"), Options{}, "does not exist")
	refusedWhole(t, "rootfs:"+docker, Options{}, "not a directory")
}

// TestChangedFileIsReadAgain: policy missing still follows a file.
func TestChangedFileIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.tar")
	ref := imagetest.SaveDockerArchive(t, file, "web:1", imagetest.New(t, image.Config{}, bulk(t, 10)))
	s, _ := openStore(t)
	first, err := Ensure(t.Context(), s, ref, Options{})
	if err != nil {
		t.Fatal(err)
	}
	imagetest.SaveDockerArchive(t, file, "web:1", imagetest.New(t, image.Config{}, bulk(t, 3000)))
	second, err := Ensure(t.Context(), s, ref, Options{})
	if err != nil || second.ID == first.ID {
		t.Errorf("still %s, %v", second.ID, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if third, err := Ensure(t.Context(), s, ref, Options{}); err != nil || third.ID != second.ID {
		t.Errorf("without the file: %v", err)
	}
}

// TestLostLayersComeBack: unpacked trees are a cache of the blobs, and blobs
// of the source.
func TestLostLayersComeBack(t *testing.T) {
	reg := imagetest.Serve(t, nil)
	ref := reg.Push(t, "a:1", imagetest.New(t, image.Config{}, bulk(t, 100_000), imagetest.Files(t, map[string]string{"a": "b"})))
	s, root := openStore(t)
	img, err := Ensure(t.Context(), s, ref, Options{})
	if err != nil {
		t.Fatal(err)
	}
	lose := func() {
		t.Helper()
		for _, l := range img.Layers {
			if err := os.RemoveAll(filepath.Dir(l.Dir)); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(policy string) {
		t.Helper()
		if _, err := Ensure(t.Context(), s, ref, Options{Policy: policy}); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(filepath.Join(img.Layers[0].Dir, "bulk")); err != nil || fi.Size() != 100_000 {
			t.Errorf("%v, %v", fi, err)
		}
		checkTidy(t, root)
	}
	lose()
	check(Never)
	lose()
	blob := filepath.Join(root, "images/blobs/sha256", img.Layers[0].Digest.Encoded())
	b, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(blob, b, 0o600); err != nil {
		t.Fatal(err)
	}
	check(Missing)
	if fresh, _ := os.ReadFile(blob); digest.FromBytes(fresh) != img.Layers[0].Digest {
		t.Error("the damaged blob is still there")
	}
	// A damaged manifest is noticed by a process that has not read it yet.
	manifest := filepath.Join(root, "images/blobs/sha256", img.Manifest.Encoded())
	if err := os.WriteFile(manifest, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	s = again
	check(Missing)
}

// TestWindowsOfZstd: big windows wait for each other, too big ones are refused.
func TestWindowsOfZstd(t *testing.T) {
	l := imagetest.Files(t, map[string]string{"a": strings.Repeat("content ", 1_000_000)})
	compress := func(window int) []byte {
		t.Helper()
		var buf bytes.Buffer
		w, err := zstd.NewWriter(&buf, zstd.WithWindowSize(window))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(l)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	refusedWhole(t, layoutOf(t, digest.FromBytes(l), compress(64<<20)), Options{}, "zstd window of 64 MiB")
	ref := layoutOf(t, digest.FromBytes(l), compress(32<<20))
	s, _ := openStore(t)
	if _, err := Ensure(t.Context(), s, ref, Options{}); err != nil {
		t.Fatal(err)
	}
	if !s.Memory.TryAcquire(layer.MemorySize) {
		t.Error("memory was not given back")
	}
}
