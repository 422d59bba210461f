package source_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"devstack/engine/build/source"
)

// flaky answers a request as its script says, then properly.
type flaky struct {
	script []string
	got    []http.Header
	data   string
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.got = append(f.got, r.Header)
	step := ""
	if len(f.script) > 0 {
		step, f.script = f.script[0], f.script[1:]
	}
	w.Header().Set("ETag", `"`+strconv.Itoa(len(f.data))+`"`)
	switch {
	case step == "busy":
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
	case step == "cut":
		w.Header().Set("Content-Length", strconv.Itoa(len(f.data)))
		w.Write([]byte(f.data[:2]))
	case r.Header.Get("If-None-Match") == w.Header().Get("ETag"):
		w.WriteHeader(http.StatusNotModified)
	default:
		w.Write([]byte(f.data))
	}
}

func TestFetch(t *testing.T) {
	f := &flaky{script: []string{"busy", "cut"}, data: "first"}
	server := httptest.NewServer(f)
	defer server.Close()
	work := tree(t, nil)
	secret := func(id string) ([]byte, bool) { return []byte("s3\n"), id == "HTTP_AUTH_TOKEN_127.0.0.1" }
	get := func() string {
		tr, err := source.OpenRemote(t.Context(), source.Spec{Kind: source.KindURL, URL: server.URL + "/file"}, source.Options{Dir: work, Secret: secret})
		must(t, err)
		defer tr.Close()
		data, err := tr.ReadFile("data", 100)
		must(t, err)
		if tr.Single() != "file" {
			t.Errorf("it is called %q", tr.Single())
		}
		return string(data)
	}
	for n, want := range []string{"first", "first", "second!"} {
		if n == 2 {
			f.data = "second!"
		}
		if got := get(); got != want {
			t.Errorf("fetch %d: %q", n, got)
		}
	}
	if len(f.got) != 5 || f.got[3].Get("If-None-Match") != `"5"` || f.got[0].Get("Authorization") != "Bearer s3" {
		t.Errorf("%d requests: %v", len(f.got), f.got)
	}
	f.script = strings.Fields("busy busy busy busy")
	if _, err := source.OpenRemote(t.Context(), source.Spec{Kind: source.KindURL, URL: server.URL + "/file"}, source.Options{Dir: work}); err == nil || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Error(err)
	}
	held, err := source.OpenRemote(t.Context(), source.Spec{Kind: source.KindURL, URL: server.URL + "/file"}, source.Options{Dir: work})
	must(t, err)
	kept, err := source.List(work)
	if err != nil || len(kept) != 1 || !kept[0].Busy || kept[0].URL != server.URL+"/file" || time.Since(kept[0].Used) > time.Hour {
		t.Fatalf("%+v %v", kept, err)
	}
	must(t, source.Drop(work, kept[0].Name))
	if kept, err := source.List(work); err != nil || len(kept) != 1 {
		t.Errorf("dropped what is in use: %+v %v", kept, err)
	}
	must(t, held.Close())
	must(t, source.Drop(work, kept[0].Name))
	if kept, err := source.List(work); err != nil || len(kept) != 0 {
		t.Errorf("%+v %v", kept, err)
	}
	if err := source.Drop(work, "http-../x"); err == nil {
		t.Error("a path is taken for a name")
	}
	if got := get(); got != "second!" {
		t.Errorf("after pruning: %q", got)
	}
}

// TestCredentialsStayWithTheirHost: a redirect to another port, which may be
// anybody's, takes no secret along.
func TestCredentialsStayWithTheirHost(t *testing.T) {
	other := &flaky{data: "elsewhere"}
	elsewhere := httptest.NewServer(other)
	defer elsewhere.Close()
	own := &flaky{data: "here"}
	mux := http.NewServeMux()
	mux.Handle("/here", own)
	mux.Handle("/near", http.RedirectHandler("/here", http.StatusFound))
	mux.Handle("/far", http.RedirectHandler(elsewhere.URL+"/file", http.StatusFound))
	server := httptest.NewServer(mux)
	defer server.Close()
	secret := func(id string) ([]byte, bool) { return []byte("s3"), id == "HTTP_AUTH_TOKEN_127.0.0.1" }
	for _, path := range []string{"/near", "/far"} {
		tr, err := source.OpenRemote(t.Context(), source.Spec{Kind: source.KindURL, URL: server.URL + path}, source.Options{Dir: tree(t, nil), Secret: secret})
		must(t, err)
		must(t, tr.Close())
	}
	if len(own.got) != 1 || own.got[0].Get("Authorization") != "Bearer s3" {
		t.Errorf("the host itself: %v", own.got)
	}
	if len(other.got) != 1 || other.got[0].Get("Authorization") != "" {
		t.Errorf("another: %v", other.got)
	}
}

func TestContextFromURL(t *testing.T) {
	server := httptest.NewServer(&flaky{data: "FROM scratch\n"})
	defer server.Close()
	tr := open(t, source.Spec{Kind: source.KindURL, URL: server.URL}, source.Options{Dir: tree(t, nil)})
	if got := walk(t, tr); got != "Dockerfile" {
		t.Error(got)
	}
}

// TestFetchByProxy: the environment of whoever asks counts, not the process's.
func TestFetchByProxy(t *testing.T) {
	var asked atomic.Pointer[string]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		url := r.URL.String()
		asked.Store(&url)
		w.Write([]byte("by proxy"))
	}))
	defer proxy.Close()
	spec := source.Spec{Kind: source.KindURL, URL: "http://files.example/f"}
	tr, err := source.OpenRemote(t.Context(), spec, source.Options{Dir: tree(t, nil), Environ: []string{"HTTP_PROXY=" + proxy.URL}})
	must(t, err)
	defer tr.Close()
	data, err := tr.ReadFile("data", 100)
	must(t, err)
	if got := asked.Load(); string(data) != "by proxy" || got == nil || *got != spec.URL {
		t.Errorf("%q, proxy asked for %v", data, got)
	}
}
