package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"devstack/engine/image"
	"devstack/engine/image/fetch"
	"devstack/engine/image/imagetest"
)

// conf writes a registries.conf and gives the variable that names it.
func conf(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "registries.conf")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return "CONTAINERS_REGISTRIES_CONF=" + file
}

// counted is a registry that counts the manifests and blobs asked of it.
func counted(t testing.TB) (*imagetest.Registry, *atomic.Int32) {
	n := new(atomic.Int32)
	return imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				n.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}), n
}

func TestMirrors(t *testing.T) {
	origin, asked := counted(t)
	mirror, _ := counted(t)
	broken := imagetest.Serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "broken", http.StatusNotFound) })
	})
	img := imagetest.New(t, image.Config{}, bulk(t, 1000, 1))
	mirror.Push(t, "hub/team/app:1", img)
	only := imagetest.New(t, image.Config{}, bulk(t, 1000, 2))
	origin.Push(t, "team/only:1", only)
	vars := conf(t, fmt.Sprintf(`
[[registry]]
location = %q
[[registry.mirror]]
location = "127.0.0.1:1/nobody"
[[registry.mirror]]
location = "%s/hub"
[[registry.mirror]]
location = "%s/hub"
`, origin.Host, broken.Host, mirror.Host))
	asked.Store(0)
	got, err := fetch.Ensure(t.Context(), openStore(t), origin.Host+"/team/app:1", fetch.Options{Registry: client(t, vars)})
	must(t, err)
	if asked.Load() != 0 || got.Ref != origin.Host+"/team/app:1" {
		t.Errorf("the registry itself was asked %d times; image %s", asked.Load(), got.Ref)
	}
	_, err = fetch.Ensure(t.Context(), openStore(t), origin.Host+"/team/only:1", fetch.Options{Registry: client(t, vars)})
	must(t, err)
	_, err = fetch.Ensure(t.Context(), openStore(t), origin.Host+"/team/none:1", fetch.Options{Registry: client(t, vars)})
	if err == nil || !strings.Contains(err.Error(), "no repository") || !strings.Contains(image.Hint(err), "mirror 127.0.0.1:1/nobody/team/none") {
		t.Errorf("error is %v, hint %s", err, image.Hint(err))
	}
	// Pushes go to the registry itself.
	s := openStore(t)
	name := origin.Host + "/team/new:1"
	want := add(t, s, name, img)
	_, err = client(t, vars).Push(t.Context(), s, parse(t, name), image.Image{}, nil)
	must(t, err)
	checkPull(t, client(t), name, want)
}

// TestMirrorThatDies has a mirror end in the middle of a layer, for good.
func TestMirrorThatDies(t *testing.T) {
	origin := imagetest.Serve(t, nil)
	name := origin.Host + "/app:1"
	want := add(t, openStore(t), name, imagetest.New(t, image.Config{}, bulk(t, 1_000_000, 1)))
	origin.Push(t, "app:1", imagetest.New(t, image.Config{}, bulk(t, 1_000_000, 1)))
	var dead atomic.Bool
	mirror := imagetest.Serve(t, func(http.Handler) http.Handler {
		p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: origin.Host})
		p.ErrorLog = log.New(io.Discard, "", 0)
		p.ModifyResponse = func(r *http.Response) error {
			if strings.Contains(r.Request.URL.Path, "/blobs/") && r.ContentLength > 400_000 {
				dead.Store(true)
				r.Body = &cutBody{r.Body, 400_000}
			}
			return nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if dead.Load() {
				panic(http.ErrAbortHandler)
			}
			p.ServeHTTP(w, r)
		})
	})
	vars := conf(t, fmt.Sprintf("[[registry]]\nlocation = %q\n[[registry.mirror]]\nlocation = %q\n", origin.Host, mirror.Host))
	checkPull(t, client(t, vars), name, want)
	if !dead.Load() {
		t.Error("the mirror was not asked")
	}
}

// TestMissingHelper pulls what is public although config.json names a helper
// that is not there, and says so where it matters.
func TestMissingHelper(t *testing.T) {
	home := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(home, ".docker"), 0o700))
	must(t, os.WriteFile(filepath.Join(home, ".docker/config.json"), []byte(`{"credsStore":"gone"}`), 0o600))
	c := client(t, "HOME="+home)
	open, private := imagetest.Serve(t, nil), imagetest.ServeDistribution(t, imagetest.Distribution{Login: true})
	ref := open.Push(t, "app:1", imagetest.New(t, image.Config{}, bulk(t, 100, 1)))
	_, err := fetch.Ensure(t.Context(), openStore(t), ref, fetch.Options{Registry: c})
	must(t, err)
	_, err = fetch.Ensure(t.Context(), openStore(t), private.Host+"/app:1", fetch.Options{Registry: c})
	if err == nil || !strings.Contains(err.Error(), "docker-credential-gone is not in PATH") || image.Hint(err) == "" {
		t.Errorf("error is %v", err)
	}
}

func TestRegistriesConf(t *testing.T) {
	reg := imagetest.Serve(t, nil)
	img := imagetest.New(t, image.Config{}, bulk(t, 1000, 1))
	reg.Push(t, "stash/hub/library/nginx:1", img)
	reg.Push(t, "stash/nginx:1", img)
	pull := func(ref, text string) error {
		_, err := fetch.Ensure(t.Context(), openStore(t), ref, fetch.Options{Registry: client(t, conf(t, text))})
		return err
	}
	for name, c := range map[string][2]string{
		"location":     {"nginx:1", fmt.Sprintf("[[registry]]\nprefix = \"docker.io\"\nlocation = \"%s/stash/hub\"\n", reg.Host)},
		"alias":        {"nginx:1", fmt.Sprintf("[aliases]\nnginx = \"%s/stash/nginx\"\n", reg.Host)},
		"search":       {"nginx:1", fmt.Sprintf("unqualified-search-registries = [%q]\n[[registry]]\nprefix = %q\nlocation = \"%s/stash\"\n", reg.Host, reg.Host, reg.Host)},
		"several":      {"nginx:1", fmt.Sprintf("short-name-mode = \"permissive\"\nunqualified-search-registries = [\"127.0.0.1:1\", %q]\n[[registry]]\nprefix = %q\nlocation = \"%s/stash\"\n", reg.Host, reg.Host, reg.Host)},
		"full and far": {"far.example/nginx:1", fmt.Sprintf("[[registry]]\nprefix = \"*.example\"\nlocation = \"%s/stash\"\n[[registry]]\nprefix = \"far.example/nginx\"\nlocation = \"%s/stash/nginx\"\n", reg.Host, reg.Host)},
	} {
		if err := pull(c[0], c[1]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := pull(reg.Host+"/stash/nginx:1", fmt.Sprintf("[[registry]]\nlocation = \"%s/stash\"\nblocked = true\n", reg.Host))
	if err == nil || !strings.Contains(err.Error(), "blocked by") || image.Hint(err) == "" {
		t.Errorf("blocked: %v", err)
	}
	err = pull("nginx:1", "unqualified-search-registries = [\"a.example\", \"b.example\"]\n")
	if err == nil || !strings.Contains(err.Error(), "a.example, b.example") {
		t.Errorf("ambiguous: %v", err)
	}
	err = pull("nginx:1", "[aliases]\nnginx = \"127.0.0.1:1/nginx\"\n")
	if err == nil || !strings.HasSuffix(err.Error(), "registry 127.0.0.1:1 refuses connections") {
		t.Errorf("alias to nowhere: %v", err)
	}
	err = pull("nginx:1", "[[registry]\n")
	if err == nil || !strings.Contains(err.Error(), "registries.conf:1:") {
		t.Errorf("bad file: %v", err)
	}
}

// TestCertificates takes authority and client certificate from certs.d, or no
// certificate of worth with insecure.
func TestCertificates(t *testing.T) {
	reg := imagetest.ServeDistribution(t, imagetest.Distribution{TLS: true})
	home := t.TempDir()
	dir := filepath.Join(home, ".config/containers/certs.d", reg.Host)
	must(t, os.MkdirAll(dir, 0o700))
	pem, err := os.ReadFile(reg.CA)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "ca.crt"), pem, 0o600))
	must(t, imagetest.Certificate(filepath.Join(dir, "client.cert"), filepath.Join(dir, "client.key")))
	s := openStore(t)
	name := reg.Host + "/app:1"
	img := add(t, s, name, imagetest.New(t, image.Config{}, bulk(t, 1000, 1)))
	c := client(t, "HOME="+home)
	_, err = c.Push(t.Context(), s, parse(t, name), image.Image{}, nil)
	must(t, err)
	checkPull(t, c, name, img)
	checkPull(t, client(t, conf(t, fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", reg.Host))), name, img)

	must(t, os.Remove(filepath.Join(dir, "client.key")))
	_, err = client(t, "HOME="+home).Push(t.Context(), s, parse(t, name), image.Image{}, nil)
	if err == nil || !strings.Contains(err.Error(), "client.cert") {
		t.Errorf("half a client certificate: %v", err)
	}
}

// TestRedirects: blobs may lie elsewhere, where the password has no business.
func TestRedirects(t *testing.T) {
	var told atomic.Int32
	blobs := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				told.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	var circle atomic.Bool
	reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			switch blob := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/"); {
			case user != imagetest.User || password != imagetest.Password:
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
			case blob && circle.Load():
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			case blob:
				http.Redirect(w, r, "http://"+blobs.Host+r.URL.Path, http.StatusTemporaryRedirect)
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	img := imagetest.New(t, image.Config{}, bulk(t, 1000, 1))
	blobs.Push(t, "team/app:1", img)
	s := openStore(t)
	name := reg.Host + "/team/app:1"
	want := add(t, s, name, img)
	c := client(t, loginVar(reg.Host))
	_, err := c.Push(t.Context(), s, parse(t, name), image.Image{}, nil)
	must(t, err)
	checkPull(t, c, name, want)
	if told.Load() > 0 {
		t.Error("the password was sent on")
	}
	circle.Store(true)
	_, err = fetch.Ensure(t.Context(), openStore(t), name, fetch.Options{Registry: c})
	if err == nil || !strings.Contains(err.Error(), "server redirects in circles") {
		t.Errorf("error is %v", err)
	}
}

// tokens demands tokens, each good for a few requests, and gives them to those
// who may log in.
type tokens struct {
	next   http.Handler
	given  atomic.Int32
	mu     sync.Mutex
	left   map[string]int // requests that a token is good for
	scopes atomic.Value
}

func (k *tokens) give() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := fmt.Sprint("t", k.given.Add(1))
	k.left[t] = 4
	return t
}

func (k *tokens) use(t string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left[t]--
	return k.left[t] >= 0
}

func (k *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		user, pass, _ := r.BasicAuth()
		if user != imagetest.User || pass != imagetest.Password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		k.scopes.Store(strings.Join(r.URL.Query()["scope"], " "))
		_ = json.NewEncoder(w).Encode(map[string]any{"token": k.give(), "expires_in": 300})
		return
	}
	if !k.use(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test, of it"`, r.Host))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	k.next.ServeHTTP(w, r)
}

// TestTokensThatRunOut has tokens end in the middle of everything.
func TestTokensThatRunOut(t *testing.T) {
	k := &tokens{left: map[string]int{}}
	reg := imagetest.Serve(t, func(next http.Handler) http.Handler { k.next = next; return k })
	s := openStore(t)
	name := reg.Host + "/team/app:1"
	img := add(t, s, name, imagetest.New(t, image.Config{}, bulk(t, 200_000, 1)))
	c := client(t, loginVar(reg.Host))
	_, err := c.Push(t.Context(), s, parse(t, name), image.Image{}, nil)
	must(t, err)
	if got := k.scopes.Load(); got != "repository:team/app:pull,push" {
		t.Errorf("scope %v", got)
	}
	checkPull(t, c, name, img)
	if k.given.Load() < 3 {
		t.Errorf("%d tokens were given", k.given.Load())
	}
	if err := c.Login(t.Context(), reg.Host); err != nil {
		t.Error(err)
	}
	err = client(t).Login(t.Context(), reg.Host)
	if err == nil || !strings.Contains(err.Error(), "does not accept") {
		t.Errorf("login of nobody: %v", err)
	}
	_, err = fetch.Ensure(t.Context(), openStore(t), name, fetch.Options{Registry: client(t)})
	if known := (*image.Error)(nil); !errors.As(err, &known) || !strings.Contains(known.Hint, "devstack login") {
		t.Errorf("pull of nobody: %v", err)
	}
}
