package fetch

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/registry"
)

// quick is a client that does not wait long between attempts.
func quick(t testing.TB) *registry.Client {
	c := registry.New(registry.Options{Backoff: time.Millisecond})
	t.Cleanup(c.Close)
	return c
}

// bulk is a layer that does not compress, of n bytes.
func bulk(t testing.TB, n int) imagetest.Layer {
	data := make([]byte, n)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return imagetest.Files(t, map[string]string{"bulk": string(data)})
}

func TestRegistryThatFails(t *testing.T) {
	for _, status := range []int{429, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var seen sync.Map
			var failing atomic.Bool
			reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					n, _ := seen.LoadOrStore(r.URL.Path, new(atomic.Int32))
					if failing.Load() && n.(*atomic.Int32).Add(1) <= 2 {
						w.Header().Set("Retry-After", "0")
						http.Error(w, "later", status)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			ref := reg.Push(t, "a:1", imagetest.New(t, image.Config{}, bulk(t, 1000)))
			failing.Store(true)
			s, _ := openStore(t)
			if _, err := Ensure(t.Context(), s, ref, Options{Registry: quick(t)}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestDroppedConnections cuts every answer short, at another place each time.
func TestDroppedConnections(t *testing.T) {
	for _, ranges := range []bool{true, false} {
		t.Run(fmt.Sprintf("ranges %v", ranges), func(t *testing.T) {
			var cuts, resumed atomic.Int32
			reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
						next.ServeHTTP(w, r)
						return
					}
					if r.Header.Get("Range") != "" {
						resumed.Add(1)
						if !ranges {
							r.Header.Del("Range")
						}
					}
					// Each answer gets further than the one before.
					n := cuts.Add(1)
					next.ServeHTTP(&cutter{ResponseWriter: w, left: int(n) * 300_000}, r)
				})
			})
			ref := reg.Push(t, "a:1", imagetest.New(t, image.Config{}, bulk(t, 1_000_000)))
			s, root := openStore(t)
			img, err := Ensure(t.Context(), s, ref, Options{Registry: quick(t)})
			if err != nil {
				t.Fatal(err)
			}
			if resumed.Load() == 0 {
				t.Error("nothing was resumed")
			}
			if fi, err := os.Stat(filepath.Join(img.Layers[0].Dir, "bulk")); err != nil || fi.Size() != 1_000_000 {
				t.Errorf("%v, %v", fi, err)
			}
			checkTidy(t, root)
		})
	}
}

// cutter drops the connection after some bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

// checkTidy fails if something half-done lies about.
func checkTidy(t testing.TB, root string) {
	t.Helper()
	for _, dir := range []string{"images/ingest", "layers/ingest"} {
		names, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil || len(names) != 0 {
			t.Errorf("%s holds %v, %v", dir, names, err)
		}
	}
}

// contents lists a store's files, to be compared.
func contents(t testing.TB, root string) string {
	t.Helper()
	var b strings.Builder
	for _, pattern := range []string{"images/blobs/*/*", "layers/*/*", "images/index.json"} {
		names, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, n := range names {
			fmt.Fprintln(&b, strings.TrimPrefix(n, root))
		}
	}
	return b.String()
}

func TestRegistryErrorsSayWhatToDo(t *testing.T) {
	reg := imagetest.Serve(t, nil)
	reg.Push(t, "there:1", imagetest.New(t, image.Config{}, bulk(t, 10)))
	denied := imagetest.Serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		})
	})
	broken := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				next.ServeHTTP(w, r)
				return
			}
			http.Error(w, "no", http.StatusInternalServerError)
		})
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for ref, want := range map[string][2]string{
		reg.Host + "/there:2":                                 {"there has no tag 2", "tag"},
		reg.Host + "/nowhere:1":                               {"no repository", "typing"},
		denied.Host + "/secret:1":                             {"denies access", "log in"},
		broken.Host + "/x:1":                                  {"error of its own (500", "later"},
		closed + "/x:1":                                       {"refuses connections", "running"},
		"no-such-host.invalid/x:1":                            {"no such host no-such-host.invalid", "online"},
		reg.Host + "/there@sha256:" + strings.Repeat("0", 64): {"has no digest", "tag"},
	} {
		s, root := openStore(t)
		before := contents(t, root)
		_, err := Ensure(t.Context(), s, ref, Options{Registry: quick(t)})
		if err == nil || !strings.Contains(err.Error(), want[0]) || !strings.Contains(image.Hint(err), want[1]) {
			t.Errorf("%s:\n  error %v\n  hint  %s", ref, err, image.Hint(err))
		}
		var known *image.Error
		if !errors.As(err, &known) || !strings.Contains(err.Error(), image.FamiliarString(ref)) {
			t.Errorf("%s: the error does not name the image: %v", ref, err)
		}
		if after := contents(t, root); after != before {
			t.Errorf("%s: store changed to %s", ref, after)
		}
	}
}

func TestCredentialsOfDockerConfig(t *testing.T) {
	reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, pass, ok := r.BasicAuth(); r.Method == http.MethodGet && (!ok || user != "me" || pass != "secret") {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	dir := t.TempDir()
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, reg.Host, base64.StdEncoding.EncodeToString([]byte("me:secret")))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	img := imagetest.New(t, image.Config{}, bulk(t, 10))
	ref := reg.PushAs(t, "a:1", img, "me", "secret")
	s, _ := openStore(t)
	if _, err := Ensure(t.Context(), s, ref, Options{}); err != nil {
		t.Fatal(err)
	}
}

func TestPlatformsOfAnIndex(t *testing.T) {
	reg := imagetest.Serve(t, nil)
	arm := imagetest.Build(t, imagetest.Spec{Architecture: "arm64", Layers: []imagetest.Layer{imagetest.Files(t, map[string]string{"arch": "arm64"})}})
	amd := imagetest.Build(t, imagetest.Spec{Architecture: "amd64", Layers: []imagetest.Layer{imagetest.Files(t, map[string]string{"arch": "amd64"})}})
	ref := reg.PushIndex(t, "multi:1", imagetest.Index(t, arm, amd))
	s, _ := openStore(t)
	for _, platform := range []string{"linux/arm64", "linux/amd64"} {
		img, err := Ensure(t.Context(), s, ref, Options{Platform: platform})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := os.ReadFile(filepath.Join(img.Layers[0].Dir, "arch"))
		if "linux/"+string(got) != platform || img.Platform != platform || img.Digest == img.Manifest {
			t.Errorf("%s: %s, %+v", platform, got, img)
		}
	}
	if _, err := Ensure(t.Context(), s, ref, Options{Platform: "linux/s390x"}); err == nil || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("missing platform: %v", err)
	}
	if got, err := s.List(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("list: %v, %v", got, err)
	}
}

func TestPolicies(t *testing.T) {
	var requests, sent atomic.Int32
	reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			if r.Method == http.MethodGet && r.URL.Path != "/v2/" {
				sent.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	ref := reg.Push(t, "a:1", imagetest.New(t, image.Config{}, bulk(t, 10)))
	s, _ := openStore(t)
	ensure := func(policy string) image.Image {
		t.Helper()
		requests.Store(0)
		sent.Store(0)
		img, err := Ensure(t.Context(), s, ref, Options{Policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	first := ensure(Missing)
	reg.Push(t, "a:1", imagetest.New(t, image.Config{}, bulk(t, 20)))
	if again := ensure(Missing); again.ID != first.ID || requests.Load() != 0 {
		t.Errorf("missing asked the registry (%d requests)", requests.Load())
	}
	if never := ensure(Never); never.ID != first.ID || requests.Load() != 0 {
		t.Error("never asked the registry")
	}
	if always := ensure(Always); always.ID == first.ID {
		t.Error("always did not ask the registry")
	}
	if again := ensure(Always); again.ID == first.ID || requests.Load() == 0 || sent.Load() != 0 {
		t.Errorf("always had %d things sent that the store has", sent.Load())
	}
	if now := ensure(Missing); now.ID == first.ID {
		t.Error("the name still stands for the old image")
	}
}

// TestSharedWork has many callers ask for images with common layers at once.
func TestSharedWork(t *testing.T) {
	var mu sync.Mutex
	gets := map[string]int{}
	reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				mu.Lock()
				gets[r.URL.Path[strings.LastIndex(r.URL.Path, "/"):]]++
				mu.Unlock()
			}
			next.ServeHTTP(w, r)
		})
	})
	base, top := bulk(t, 2_000_000), imagetest.Files(t, map[string]string{"x": "y"})
	refs := []string{
		reg.Push(t, "a:1", imagetest.New(t, image.Config{}, base, top)),
		reg.Push(t, "b:1", imagetest.New(t, image.Config{}, base)),
	}
	s, root := openStore(t)
	var wg sync.WaitGroup
	var reports atomic.Int32
	for i := range 20 {
		wg.Go(func() {
			_, err := Ensure(t.Context(), s, refs[i%2], Options{Progress: func(p Progress) { reports.Add(1) }})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for path, n := range gets {
		if n > 1 && n != 2 { // two images may have equal configurations
			t.Errorf("%s was downloaded %d times", path, n)
		}
	}
	if reports.Load() < 20 {
		t.Errorf("%d reports of progress", reports.Load())
	}
	checkTidy(t, root)
}

func TestCancelledPullLeavesNothing(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{}, 10)
	reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				next.ServeHTTP(&staller{ResponseWriter: w, left: 500_000, started: started, release: release}, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	t.Cleanup(func() { close(release) })
	ref := reg.Push(t, "a:1", imagetest.New(t, image.Config{}, bulk(t, 2_000_000)))
	s, root := openStore(t)
	before := contents(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := Ensure(ctx, s, ref, Options{})
		done <- err
	}()
	<-started
	cancel()
	if err := <-done; !errors.Is(err, ctx.Err()) {
		t.Errorf("error is %v", err)
	}
	checkTidy(t, root)
	if after := contents(t, root); after != before {
		t.Errorf("store changed: %s", after)
	}
}

// staller sends some bytes, then nothing.
type staller struct {
	http.ResponseWriter
	left    int
	started chan struct{}
	release chan struct{}
}

func (s *staller) Write(p []byte) (int, error) {
	if len(p) > s.left {
		s.ResponseWriter.Write(p[:s.left])
		s.ResponseWriter.(http.Flusher).Flush()
		s.started <- struct{}{}
		<-s.release
		panic(http.ErrAbortHandler)
	}
	return s.ResponseWriter.Write(p)
}

// TestDamagedLayers has a registry send other bytes than it should.
func TestDamagedLayers(t *testing.T) {
	img := imagetest.New(t, image.Config{}, bulk(t, 400_000))
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	good, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, tamper := range map[string]func([]byte) []byte{
		"flipped bit in the middle":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"flipped bit at the start":   func(b []byte) []byte { b[0] ^= 1; return b },
		"flipped bit in the trailer": func(b []byte) []byte { b[len(b)-3] ^= 1; return b },
		"something else":             func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) },
		"shorter":                    func(b []byte) []byte { return b[:len(b)-100] },
		"longer":                     func(b []byte) []byte { return append(b, 0, 0, 0) },
		"empty":                      func(b []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, good.Hex) {
						next.ServeHTTP(w, r)
						return
					}
					rc, err := layers[0].Compressed()
					if err != nil {
						t.Error(err)
						return
					}
					b, _ := io.ReadAll(rc)
					b = tamper(b)
					w.Header().Set("Content-Length", fmt.Sprint(len(b)))
					w.Write(b)
				})
			})
			ref := reg.Push(t, "a:1", img)
			s, root := openStore(t)
			before := contents(t, root)
			_, err := Ensure(t.Context(), s, ref, Options{Registry: quick(t)})
			if err == nil {
				t.Fatal("it was accepted")
			}
			t.Log(err)
			if image.Hint(err) == "" {
				t.Errorf("no hint: %v", err)
			}
			if after := contents(t, root); after != before {
				t.Errorf("store changed: %s", after)
			}
			checkTidy(t, root)
		})
	}
}

// TestRegistryWithoutHead: some do not tell digests, or not without a reason.
func TestRegistryWithoutHead(t *testing.T) {
	for name, refuse := range map[string]func(http.ResponseWriter){
		"refuses":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"nameless": func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) },
		"nonsense": func(w http.ResponseWriter) { w.Header().Set("Docker-Content-Digest", "sha256:../..") },
	} {
		t.Run(name, func(t *testing.T) {
			var pulling atomic.Bool // those who push use HEAD, too
			reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if pulling.Load() && r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
						refuse(w)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			s, root := openStore(t)
			var last image.Image
			for i := range 3 {
				ref := reg.Push(t, "a:1", imagetest.New(t, image.Config{}, bulk(t, 10+i/2)))
				pulling.Store(true)
				img, err := Ensure(t.Context(), s, ref, Options{Policy: Always})
				if err != nil {
					t.Fatal(err)
				}
				pulling.Store(false)
				if changed := img.ID != last.ID; changed != (i != 1) {
					t.Errorf("pull %d: changed %v", i, changed)
				}
				last = img
			}
			checkTidy(t, root)
		})
	}
}
