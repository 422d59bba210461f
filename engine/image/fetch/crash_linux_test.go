package fetch

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// TestHelperPull is the process that the tests below kill.
func TestHelperPull(t *testing.T) {
	root, ref := os.Getenv("DEVSTACK_TEST_ROOT"), os.Getenv("DEVSTACK_TEST_REF")
	if root == "" {
		return // not a test of its own
	}
	s, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Ensure(t.Context(), s, ref, Options{}); err != nil {
		t.Fatal(err)
	}
}

func helper(t testing.TB, root, ref string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperPull$")
	cmd.Env = append(os.Environ(), "DEVSTACK_TEST_ROOT="+root, "DEVSTACK_TEST_REF="+ref)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd
}

// TestKilledPull kills a pull at several points; nothing half-done is ever
// used, and the next attempt succeeds and cleans up.
func TestKilledPull(t *testing.T) {
	for _, at := range []int{1, 200_000, 900_000} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			started, release := make(chan struct{}, 10), make(chan struct{})
			var healthy atomic.Bool
			reg := imagetest.Serve(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !healthy.Load() && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
						w = &staller{ResponseWriter: w, left: at, started: started, release: release}
					}
					next.ServeHTTP(w, r)
				})
			})
			t.Cleanup(func() { close(release) })
			ref := reg.Push(t, "a:1", imagetest.New(t, image.Config{}, bulk(t, 1_000_000), imagetest.Files(t, map[string]string{"a": "b"})))
			root := imagetest.TempDir(t)
			cmd := helper(t, root, ref)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-started
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			healthy.Store(true)
			s, err := store.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			checkTidy(t, root)
			if _, err := s.Lookup(t.Context(), ref); err == nil {
				t.Error("the image is there already")
			}
			img, err := Ensure(t.Context(), s, ref, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if fi, err := os.Stat(filepath.Join(img.Layers[0].Dir, "bulk")); err != nil || fi.Size() != 1_000_000 {
				t.Errorf("%v, %v", fi, err)
			}
		})
	}
}

// TestTwoProcessesPullOneImage: both succeed, and there is one of everything.
func TestTwoProcessesPullOneImage(t *testing.T) {
	reg := imagetest.Serve(t, nil)
	ref := reg.Push(t, "a:1", imagetest.New(t, image.Config{}, bulk(t, 3_000_000), imagetest.Files(t, map[string]string{"a": "b"})))
	root := imagetest.TempDir(t)
	cmds := []*exec.Cmd{helper(t, root, ref), helper(t, root, ref), helper(t, root, ref)}
	for _, c := range cmds {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range cmds {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	s, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	checkTidy(t, root)
	images, err := s.List(t.Context())
	if err != nil || len(images) != 1 {
		t.Errorf("%d images, %v", len(images), err)
	}
}

// TestRealRegistry pulls from Debian's docker-registry, without and with a
// password.
func TestRealRegistry(t *testing.T) {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed")
	}
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprintf("password %v", secured), func(t *testing.T) {
			reg := startRegistry(t, program, secured)
			img := webImage(t, "gzip")
			var ref string
			if secured {
				ref = reg.PushAs(t, "team/web:1", img, "me", "secret")
			} else {
				ref = reg.Push(t, "team/web:1", img)
			}
			s, root := openStore(t)
			t.Setenv("DOCKER_CONFIG", t.TempDir())
			if secured {
				_, err := Ensure(t.Context(), s, ref, Options{})
				if err == nil || !strings.Contains(err.Error(), "denies access") || !strings.Contains(image.Hint(err), "log in") {
					t.Errorf("without password: %v, %s", err, image.Hint(err))
				}
				login(t, reg.Host, "me", "secret")
			}
			got, err := Ensure(t.Context(), s, ref, Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkWeb(t, root, got)
			_, err = Ensure(t.Context(), s, strings.Replace(ref, ":1", ":2", -1), Options{Registry: registry.New(registry.Options{Backoff: time.Millisecond})})
			if err == nil {
				t.Error("a tag that is not there was found")
			}
			t.Log(err)
		})
	}
}
