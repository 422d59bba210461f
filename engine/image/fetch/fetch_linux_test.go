package fetch

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/snapshot"
	"devstack/engine/image/store"
)

func openStore(t testing.TB) (*store.Store, string) {
	t.Helper()
	root := imagetest.TempDir(t)
	s, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, root
}

func webConfig() image.Config {
	return image.Config{
		ImageConfig: ocispec.ImageConfig{
			Env: []string{"PATH=/bin", "A=b"}, Entrypoint: []string{"/bin/web"}, Cmd: []string{"-v"}, User: "1000",
			WorkingDir: "/srv", Volumes: map[string]struct{}{"/data": {}}, ExposedPorts: map[string]struct{}{"80/tcp": {}},
			StopSignal: "SIGINT", Labels: map[string]string{"k": "v"},
		},
		Healthcheck: &image.Healthcheck{Test: []string{"CMD", "/bin/web", "check"}, Interval: 3 * time.Second, Retries: 2},
	}
}

func webImage(t testing.TB, compression string) v1.Image {
	base := imagetest.Files(t, map[string]string{
		"etc/": "", "etc/motd": "one", "etc/old": "gone soon", "bin/": "", "bin/web": "#!/bin/sh", "keep/": "", "keep/a": "a", "keep/b": "b",
	})
	top := imagetest.Tar(t,
		imagetest.Entry{Header: tar.Header{Name: "etc/"}},
		imagetest.Entry{Header: tar.Header{Name: "etc/.wh.old"}},
		imagetest.Entry{Header: tar.Header{Name: "etc/motd"}, Data: []byte("two")},
		imagetest.Entry{Header: tar.Header{Name: "keep/"}},
		imagetest.Entry{Header: tar.Header{Name: "keep/.wh..wh..opq"}},
		imagetest.Entry{Header: tar.Header{Name: "keep/c"}, Data: []byte("c")},
	)
	return imagetest.Build(t, imagetest.Spec{Config: webConfig(), Layers: []imagetest.Layer{base, top}, Compression: compression})
}

// checkWeb reads the image through an overlay mount.
func checkWeb(t *testing.T, root string, img image.Image) {
	t.Helper()
	c := img.Config
	if c.Env[1] != "A=b" || c.Entrypoint[0] != "/bin/web" || c.User != "1000" || c.Healthcheck == nil ||
		c.Healthcheck.Interval != 3*time.Second || c.StopSignal != "SIGINT" || c.Labels["k"] != "v" {
		t.Errorf("config is %+v", c)
	}
	view, err := snapshot.View(root, img)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	tree, err := os.OpenRoot(fdPath(view))
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	for name, want := range map[string]string{"etc/motd": "two", "etc/old": "", "keep/a": "", "keep/b": "", "keep/c": "c", "bin/web": "#!/bin/sh"} {
		got, err := tree.ReadFile(name)
		if want == "" {
			if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is there: %q, %v", name, got, err)
			}
		} else if string(got) != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
}

func fdPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

func TestEnsureEveryTransport(t *testing.T) {
	dir := imagetest.TempDir(t)
	reg := imagetest.Serve(t, nil)
	for _, comp := range []string{"gzip", "zstd", "none"} {
		img := webImage(t, comp)
		refs := []string{
			reg.Push(t, "shop/web:"+comp, img),
			"docker://" + reg.Push(t, "shop/web:d-"+comp, img),
			imagetest.SaveOCI(t, filepath.Join(dir, comp), "v1", img),
			imagetest.SaveOCIArchive(t, filepath.Join(dir, comp+".oci"), "", img),
		}
		if comp == "gzip" {
			refs = append(refs, imagetest.SaveDockerArchive(t, filepath.Join(dir, comp+".tar"), "web:1", img))
		}
		for _, ref := range refs {
			t.Run(comp+" "+ref[:strings.IndexAny(ref, ":")], func(t *testing.T) {
				s, root := openStore(t)
				img, err := Ensure(t.Context(), s, ref, Options{})
				if err != nil {
					t.Fatal(err)
				}
				checkWeb(t, root, img)
				again, err := Ensure(t.Context(), s, ref, Options{Policy: Never})
				if err != nil || again.ID != img.ID {
					t.Fatalf("from the store: %v, %v", again.ID, err)
				}
				if found, err := s.Lookup(t.Context(), ref); err != nil || found.ID != img.ID {
					t.Fatalf("lookup: %v, %v", found.ID, err)
				}
			})
		}
	}
}

func TestNeverSaysWhatToDo(t *testing.T) {
	s, _ := openStore(t)
	_, err := Ensure(context.Background(), s, "nginx", Options{Policy: Never})
	if !errors.Is(err, store.ErrNotFound) || image.Hint(err) == "" {
		t.Fatalf("%v, hint %q", err, image.Hint(err))
	}
}

// TestLayersAtOnce: however many images come at a time, few of their layers do.
func TestLayersAtOnce(t *testing.T) {
	var now, most atomic.Int32
	var configs sync.Map
	reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, config := configs.Load(path.Base(r.URL.Path))
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && !config {
				n := now.Add(1)
				defer now.Add(-1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	var refs []string
	for i := range 6 {
		var layers []imagetest.Layer
		for k := range 5 {
			layers = append(layers, imagetest.Files(t, map[string]string{fmt.Sprintf("%d-%d", i, k): strings.Repeat(fmt.Sprint(i, k), 20_000)}))
		}
		img := imagetest.New(t, image.Config{}, layers...)
		name, err := img.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		configs.Store(name.String(), true)
		refs = append(refs, reg.Push(t, fmt.Sprintf("app%d:1", i), img))
	}
	s, root := openStore(t)
	s.Slots = semaphore.NewWeighted(2)
	var g errgroup.Group
	for _, ref := range refs {
		g.Go(func() error {
			_, err := Ensure(t.Context(), s, ref, Options{})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := most.Load(); n < 1 || n > 2 {
		t.Errorf("%d layers at once, want 2", n)
	}
	if !s.Slots.TryAcquire(2) {
		t.Error("a place was not given back")
	}
	checkTidy(t, root)
}
