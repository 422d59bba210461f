package registry_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"devstack/engine/image"
	"devstack/engine/image/fetch"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, image.Hint(err))
	}
}

func openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(imagetest.TempDir(t))
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

// client does not wait long, and sees no configuration but what vars say.
func client(t testing.TB, vars ...string) *registry.Client {
	t.Helper()
	c := registry.New(registry.Options{Backoff: time.Millisecond, Environ: append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, vars...)})
	t.Cleanup(c.Close)
	return c
}

// bulk is a layer that does not compress, of n bytes.
func bulk(t testing.TB, n int, seed uint32) imagetest.Layer {
	data := make([]byte, n)
	for i, x := 0, seed; i < n; i++ {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return imagetest.Files(t, map[string]string{fmt.Sprintf("bulk%d", seed): string(data)})
}

// add puts an image into the store under a name.
func add(t testing.TB, s *store.Store, name string, img v1.Image) image.Image {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	got, err := fetch.Ensure(t.Context(), s, imagetest.SaveOCI(t, dir, "", img), fetch.Options{})
	must(t, err)
	return tag(t, s, got.Ref, name)
}

func tag(t testing.TB, s *store.Store, old, name string) image.Image {
	t.Helper()
	e, err := s.Find(old, "")
	must(t, err)
	ref := parse(t, name)
	e.Ref, e.Stamp = ref.String(), ""
	must(t, s.Put(t.Context(), e))
	img, err := s.Load(e)
	must(t, err)
	return img
}

func parse(t testing.TB, s string) image.Reference {
	t.Helper()
	ref, err := image.ParseReference(s)
	must(t, err)
	return ref
}

// checkPull pulls into an empty store and compares.
func checkPull(t testing.TB, c *registry.Client, name string, want image.Image) image.Image {
	t.Helper()
	got, err := fetch.Ensure(t.Context(), openStore(t), name, fetch.Options{Registry: c})
	must(t, err)
	if got.ID != want.ID {
		t.Fatalf("%s: pulled %s, pushed %s", name, got.ID, want.ID)
	}
	return got
}

func loginVar(host string) string {
	auth := base64.StdEncoding.EncodeToString([]byte(imagetest.User + ":" + imagetest.Password))
	return fmt.Sprintf(`DOCKER_AUTH_CONFIG={"auths":{%q:{"auth":%q}}}`, host, auth)
}

// TestPushAndPull goes through Debian's registry in every way, and through the
// one of this process.
func TestPushAndPull(t *testing.T) {
	for _, d := range []imagetest.Distribution{{}, {TLS: true}, {Login: true}, {TLS: true, Login: true}} {
		t.Run(fmt.Sprintf("%+v", d), func(t *testing.T) {
			reg := imagetest.ServeDistribution(t, d)
			var vars []string
			if d.TLS {
				vars = append(vars, "SSL_CERT_FILE="+reg.CA)
			}
			if d.Login {
				vars = append(vars, loginVar(reg.Host))
			}
			if n := pushAndPull(t, client(t, vars...), reg.Host); n != 3 {
				t.Errorf("%d layers were mounted", n)
			}
			if d.Login {
				_, err := client(t, vars[:len(vars)-1]...).Push(t.Context(), openWith(t, reg.Host+"/x"), parse(t, reg.Host+"/x"), image.Image{}, nil)
				if err == nil || !strings.Contains(err.Error(), "does not let you push") || !strings.Contains(image.Hint(err), "devstack login "+reg.Host) {
					t.Errorf("without credentials: %v, hint %s", err, image.Hint(err))
				}
			}
			if d.TLS {
				_, err := client(t).Push(t.Context(), openWith(t, reg.Host+"/x"), parse(t, reg.Host+"/x"), image.Image{}, nil)
				if err == nil || !strings.Contains(err.Error(), "authority unknown") || !strings.Contains(image.Hint(err), "certs.d") {
					t.Errorf("with an unknown authority: %v, hint %s", err, image.Hint(err))
				}
			}
		})
	}
	t.Run("in process", func(t *testing.T) { pushAndPull(t, client(t), imagetest.Serve(t, nil).Host) })
}

func openWith(t testing.TB, name string) *store.Store {
	s := openStore(t)
	add(t, s, name, imagetest.New(t, image.Config{}, bulk(t, 1000, 1)))
	return s
}

// pushAndPull says how many layers were mounted.
func pushAndPull(t *testing.T, c *registry.Client, host string) (mounts int) {
	s := openStore(t)
	name := host + "/team/app:1"
	img := add(t, s, name, imagetest.New(t, image.Config{}, bulk(t, 3_000_000, 1), bulk(t, 500_000, 2), imagetest.Files(t, map[string]string{"a": "b"})))
	var mu sync.Mutex
	states := map[string][]string{}
	watch := func(p store.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if l := string(p.Layer); l != "" && !slices.Contains(states[l], p.State) {
			states[l] = append(states[l], p.State)
		}
	}
	res, err := c.Push(t.Context(), s, parse(t, name), image.Image{}, watch)
	must(t, err)
	if res.Digest != img.Manifest || len(states) != 3 {
		t.Errorf("pushed %s of %s, progress %v", res.Digest, img.Manifest, states)
	}
	for l, got := range states {
		if want := "preparing pushing pushed"; strings.Join(got, " ") != want {
			t.Errorf("layer %s: %v", l, got)
		}
	}
	if got := checkPull(t, c, name, img); got.Digest != img.Manifest {
		t.Errorf("digest %s, want %s", got.Digest, img.Manifest)
	}
	// Again, and under another name: nothing is sent.
	clear(states)
	other := host + "/team/other:2"
	tag(t, s, name, other)
	for _, n := range []string{name, other} {
		_, err := c.Push(t.Context(), s, parse(t, n), image.Image{}, watch)
		must(t, err)
	}
	for l, got := range states {
		if slices.Contains(got, registry.Pushing) || !slices.Contains(got, registry.Present) {
			t.Errorf("layer %s the second time: %v", l, got)
		}
		mounts += strings.Count(strings.Join(got, " "), registry.Mounted)
	}
	checkPull(t, c, other, img)
	return mounts
}

// proxy stands between client and registry; cut decides what becomes of
// request bodies: at most so many bytes go on, then both connections end.
func proxy(t testing.TB, host string, cut func(*http.Request) (int64, bool)) *imagetest.Registry {
	target := &url.URL{Scheme: "http", Host: host}
	return imagetest.Serve(t, func(http.Handler) http.Handler {
		return &httputil.ReverseProxy{
			FlushInterval: -1,
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Host = r.In.Host // Location names us
				if n, ok := cut(r.In); ok {
					r.Out.Body = &cutBody{r.In.Body, n}
				}
			},
			ErrorLog:     log.New(io.Discard, "", 0),
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		}
	})
}

type cutBody struct {
	io.ReadCloser
	left int64
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errors.New("cut")
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// TestBrokenPush has connections end in the middle of uploads to a registry
// that forgets such uploads: they are begun anew.
func TestBrokenPush(t *testing.T) {
	reg := imagetest.ServeDistribution(t, imagetest.Distribution{})
	var cuts atomic.Int32
	through := proxy(t, reg.Host, func(r *http.Request) (int64, bool) {
		return 300_000, r.Method == http.MethodPatch && r.ContentLength > 400_000 && cuts.Add(1) <= 3
	})
	s := openStore(t)
	name := through.Host + "/app:1"
	img := add(t, s, name, imagetest.New(t, image.Config{}, bulk(t, 1_000_000, 1), bulk(t, 1_000_000, 2)))
	c := client(t)
	_, err := c.Push(t.Context(), s, parse(t, name), image.Image{}, nil)
	must(t, err)
	if cuts.Load() < 3 {
		t.Errorf("only %d connections were cut", cuts.Load())
	}
	checkPull(t, c, name, img)
}

// TestAbandonedPush has every connection break until the push gives up. The
// tag does not exist then, and the next push succeeds.
func TestAbandonedPush(t *testing.T) {
	reg := imagetest.ServeDistribution(t, imagetest.Distribution{})
	var cutting atomic.Bool
	cutting.Store(true)
	through := proxy(t, reg.Host, func(r *http.Request) (int64, bool) {
		return 100_000, cutting.Load() && r.Method == http.MethodPatch && r.ContentLength > 400_000
	})
	s := openStore(t)
	name := through.Host + "/app:1"
	img := add(t, s, name, imagetest.New(t, image.Config{}, bulk(t, 1_000_000, 1), imagetest.Files(t, map[string]string{"a": "b"})))
	c := client(t)
	if _, err := c.Push(t.Context(), s, parse(t, name), image.Image{}, nil); err == nil {
		t.Fatal("the push succeeded")
	}
	if _, err := fetch.Ensure(t.Context(), openStore(t), name, fetch.Options{Registry: c}); err == nil {
		t.Fatal("half an image can be pulled")
	}
	cutting.Store(false)
	_, err := c.Push(t.Context(), s, parse(t, name), image.Image{}, nil)
	must(t, err)
	checkPull(t, c, name, img)
}

// TestBrokenPull cuts the registry's answers.
func TestBrokenPull(t *testing.T) {
	reg := imagetest.ServeDistribution(t, imagetest.Distribution{})
	s := openStore(t)
	img := add(t, s, reg.Host+"/app:1", imagetest.New(t, image.Config{}, bulk(t, 2_000_000, 1)))
	_, err := client(t).Push(t.Context(), s, parse(t, reg.Host+"/app:1"), image.Image{}, nil)
	must(t, err)
	var cuts atomic.Int32
	through := imagetest.Serve(t, func(http.Handler) http.Handler {
		p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: reg.Host})
		p.ErrorLog = log.New(io.Discard, "", 0)
		p.ModifyResponse = func(r *http.Response) error {
			if strings.Contains(r.Request.URL.Path, "/blobs/") && r.ContentLength > 400_000 && cuts.Add(1) <= 4 {
				r.Body = &cutBody{r.Body, 400_000}
			}
			return nil
		}
		return p
	})
	checkPull(t, client(t), through.Host+"/app:1", img)
	if cuts.Load() < 3 {
		t.Errorf("only %d answers were cut", cuts.Load())
	}
}

// resuming is a registry that knows how far an upload has come.
type resuming struct {
	mu        sync.Mutex
	blobs     map[string][]byte
	upload    map[string]*bytes.Buffer
	sent      int64
	manifests map[string][]byte
	cut       int // connections still to be broken
}

func (g *resuming) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch {
	case r.Method == http.MethodPost:
		id := fmt.Sprint(len(g.upload))
		g.upload[id] = new(bytes.Buffer)
		w.Header().Set("Location", "/v2/app/blobs/uploads/"+id)
		w.WriteHeader(http.StatusAccepted)
	case strings.Contains(r.URL.Path, "/uploads/"):
		g.serveUpload(w, r, g.upload[last])
	case strings.Contains(r.URL.Path, "/blobs/"):
		if _, ok := g.blobs[last]; !ok {
			w.WriteHeader(http.StatusNotFound)
		}
	case strings.Contains(r.URL.Path, "/manifests/"):
		g.manifests[last], _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
	}
}

func (g *resuming) serveUpload(w http.ResponseWriter, r *http.Request, b *bytes.Buffer) {
	w.Header().Set("Location", r.URL.Path)
	switch r.Method {
	case http.MethodPatch:
		if at := r.Header.Get("Content-Range"); at != "" && !strings.HasPrefix(at, fmt.Sprint(b.Len(), "-")) || at == "" && b.Len() > 0 {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		var body io.Reader = r.Body
		if g.cut > 0 && r.ContentLength > 500_000 {
			body = io.LimitReader(body, 300_000)
			g.cut--
			defer panic(http.ErrAbortHandler)
		}
		n, _ := io.Copy(b, body)
		g.sent += n
	case http.MethodPut:
		g.blobs[r.URL.Query().Get("digest")] = b.Bytes()
		w.WriteHeader(http.StatusCreated)
		return
	}
	if b.Len() > 0 {
		w.Header().Set("Range", fmt.Sprintf("0-%d", b.Len()-1))
	}
	w.WriteHeader(map[string]int{http.MethodPatch: http.StatusAccepted, http.MethodGet: http.StatusNoContent}[r.Method])
}

func TestResumedPush(t *testing.T) {
	g := &resuming{blobs: map[string][]byte{}, upload: map[string]*bytes.Buffer{}, manifests: map[string][]byte{}, cut: 8}
	reg := imagetest.Serve(t, func(http.Handler) http.Handler { return g })
	s := openStore(t)
	img := add(t, s, reg.Host+"/app:1", imagetest.New(t, image.Config{}, bulk(t, 3_000_000, 1)))
	_, err := client(t).Push(t.Context(), s, parse(t, reg.Host+"/app:1"), image.Image{}, nil)
	must(t, err)
	blob := g.blobs[string(img.Layers[0].Digest)]
	if img.Layers[0].Digest.Algorithm().FromBytes(blob) != img.Layers[0].Digest {
		t.Error("the blob is not what was pushed")
	}
	if limit := img.Layers[0].Size + 4000; g.sent > limit || g.cut != 0 {
		t.Errorf("%d bytes were sent for %d, %d cuts left", g.sent, limit, g.cut)
	}
}

func TestRegistryThatRefusesAtFirst(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var seen sync.Map
			reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					what := r.URL.Path
					if i := strings.Index(what, "/uploads/"); i > 0 {
						what = what[:i]
					}
					n, _ := seen.LoadOrStore(r.Method+what, new(atomic.Int32))
					if n.(*atomic.Int32).Add(1) <= 2 {
						w.Header().Set("Retry-After", "0")
						http.Error(w, "later", status)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			s := openStore(t)
			img := add(t, s, reg.Host+"/app:1", imagetest.New(t, image.Config{}, bulk(t, 100_000, 1)))
			_, err := client(t).Push(t.Context(), s, parse(t, reg.Host+"/app:1"), image.Image{}, nil)
			must(t, err)
			checkPull(t, client(t), reg.Host+"/app:1", img)
		})
	}
}

func TestPushOfSeveralPlatforms(t *testing.T) {
	from := imagetest.Serve(t, nil)
	reg := imagetest.ServeDistribution(t, imagetest.Distribution{})
	build := func(arch string) v1.Image {
		return imagetest.Build(t, imagetest.Spec{Architecture: arch, Layers: []imagetest.Layer{imagetest.Files(t, map[string]string{"arch": arch}), bulk(t, 1000, 1)}})
	}
	source := from.PushIndex(t, "multi:1", imagetest.Index(t, build("amd64"), build("arm64"), build("s390x")))
	c := client(t)
	s := openStore(t)
	name := reg.Host + "/multi:1"
	var index image.Image
	for i, arch := range []string{"amd64", "arm64", "s390x"} {
		img, err := fetch.Ensure(t.Context(), s, source, fetch.Options{Platform: "linux/" + arch, Registry: c})
		must(t, err)
		index = img
		e, err := s.Find(source, "linux/"+arch)
		must(t, err)
		e.Ref = parse(t, name).String()
		must(t, s.Put(t.Context(), e))
		res, err := c.Push(t.Context(), s, parse(t, name), image.Image{}, nil)
		must(t, err)
		if len(res.Platforms) != i+1 || len(res.Missing) != 2-i {
			t.Errorf("pushed %v, missing %v", res.Platforms, res.Missing)
		}
		for _, p := range res.Platforms {
			got, err := fetch.Ensure(t.Context(), openStore(t), name, fetch.Options{Platform: p, Registry: c})
			must(t, err)
			if got.Platform != p {
				t.Errorf("pulled %s for %s", got.Platform, p)
			}
		}
	}
	if got, err := fetch.Ensure(t.Context(), openStore(t), name, fetch.Options{Registry: c}); err != nil || got.Digest != index.Digest {
		t.Errorf("the whole index has another digest: %s, not %s (%v)", got.Digest, index.Digest, err)
	}
}

// TestPushWithoutBlob pushes images of which a layer is unpacked only.
func TestPushWithoutBlob(t *testing.T) {
	from := imagetest.Serve(t, nil)
	to := imagetest.ServeDistribution(t, imagetest.Distribution{})
	layer := bulk(t, 300_000, 1)
	source := from.Push(t, "app:1", imagetest.New(t, image.Config{}, layer))
	name := to.Host + "/app:1"
	prepare := func(t *testing.T) (*store.Store, image.Image) {
		s := openStore(t)
		img, err := fetch.Ensure(t.Context(), s, source, fetch.Options{Registry: client(t)})
		must(t, err)
		tag(t, s, source, name)
		must(t, s.RemoveBlob(img.Layers[0].Digest))
		return s, img
	}
	t.Run("another compression stands in", func(t *testing.T) {
		s, img := prepare(t)
		add(t, s, "zstd", imagetest.Build(t, imagetest.Spec{Compression: "zstd", Layers: []imagetest.Layer{layer}}))
		must(t, s.Remove(t.Context(), source)) // nobody knows where to download it
		res, err := client(t).Push(t.Context(), s, parse(t, name), image.Image{}, nil)
		must(t, err)
		if res.Digest == img.Manifest {
			t.Error("the manifest names a blob that is not there")
		}
		checkPull(t, client(t), name, img)
	})
	t.Run("nowhere", func(t *testing.T) {
		s, _ := prepare(t)
		must(t, s.Remove(t.Context(), source))
		other := to.Host + "/elsewhere:1"
		tag(t, s, name, other)
		_, err := client(t).Push(t.Context(), s, parse(t, other), image.Image{}, nil)
		if err == nil || !strings.Contains(err.Error(), "compressed form is not in the store") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("downloaded again", func(t *testing.T) {
		s, img := prepare(t)
		res, err := client(t).Push(t.Context(), s, parse(t, name), image.Image{}, nil)
		must(t, err)
		if res.Digest != img.Manifest || !s.HasBlob(img.Layers[0].Digest, img.Layers[0].Size) {
			t.Errorf("pushed %s of %s", res.Digest, img.Manifest)
		}
		checkPull(t, client(t), name, img)
	})
}

// TestDamagedBlobIsNotPushed flips a bit of a blob in the store.
func TestDamagedBlobIsNotPushed(t *testing.T) {
	reg := imagetest.ServeDistribution(t, imagetest.Distribution{})
	s := openStore(t)
	name := reg.Host + "/app:1"
	img := add(t, s, name, imagetest.New(t, image.Config{}, bulk(t, 100_000, 1)))
	f, err := s.OpenBlob(img.Layers[0].Digest)
	must(t, err)
	b, err := io.ReadAll(f)
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(f.Name(), b, 0o600))
	f.Close()
	_, err = client(t).Push(t.Context(), s, parse(t, name), image.Image{}, nil)
	if err == nil || !strings.Contains(err.Error(), "damaged on disk") || s.HasBlob(img.Layers[0].Digest, -1) {
		t.Errorf("error is %v", err)
	}
}

func TestCancelledPush(t *testing.T) {
	started := make(chan struct{}, 9)
	reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				started <- struct{}{}
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s := openStore(t)
	name := reg.Host + "/app:1"
	add(t, s, name, imagetest.New(t, image.Config{}, bulk(t, 100_000, 1)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := client(t).Push(ctx, s, parse(t, name), image.Image{}, nil)
		done <- err
	}()
	<-started
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}
