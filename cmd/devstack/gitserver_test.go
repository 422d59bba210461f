package main

import (
	"net"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdGitServer: `gitserver DIR` serves the repositories in DIR over HTTP, as
// git itself does it, until the script ends or `! gitserver`: its address is
// $GIT. Those below DIR/private want a password.
func cmdGitServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Value(gitServerKey{}).(*gitServer).stop()
		return
	}
	if len(args) != 1 {
		ts.Fatalf("usage: [!] gitserver DIR")
	}
	core, err := exec.Command("git", "--exec-path").Output()
	ts.Check(err)
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(core)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + ts.MkAbs(args[0]), "GIT_HTTP_EXPORT_ALL=1", "HOME=" + ts.Getenv("HOME")},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/private/") {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends with stop
	}()
	running := ts.Value(gitServerKey{}).(*gitServer)
	running.stop = func() { s.Close(); <-done }
	ts.Defer(running.stop)
	ts.Setenv("GIT", l.Addr().String())
}

// gitServer is the server of a script.
type gitServer struct{ stop func() }

type gitServerKey struct{}
