package manage_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/fetch"
	"devstack/engine/image/manage"
	"devstack/engine/image/store"
)

// TestHelperWork is the process that TestKilled kills: it goes on and on
// with one operation, and says on stdout when it begins.
func TestHelperWork(t *testing.T) {
	root, op := os.Getenv("DEVSTACK_TEST_ROOT"), os.Getenv("DEVSTACK_TEST_OP")
	if root == "" {
		return // not a test of its own
	}
	s, err := store.Open(root)
	must(t, err)
	fmt.Println("ready")
	for i := 0; ; i++ {
		switch op {
		case "commit":
			dir := filepath.Join(root, fmt.Sprintf("upper%d-%d", os.Getpid(), i))
			must(t, os.Mkdir(dir, 0o755))
			for f := range 50 {
				must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(f)), bytes.Repeat([]byte{byte(i), byte(f)}, 5000), 0o600))
			}
			l, err := commit.Layer(t.Context(), s, dir, commit.Options{})
			must(t, err)
			_, err = commit.Image(t.Context(), s, commit.Spec{Layers: []image.Layer{l}, Tags: []string{"killed:1", fmt.Sprintf("killed:%d", i%3)}})
			must(t, err)
		case "save":
			f, err := os.Create(filepath.Join(root, "saved.tar"))
			must(t, err)
			must(t, manage.Save(t.Context(), s, f, []string{"keep:1"}, manage.SaveOptions{}))
			must(t, f.Close())
		case "load":
			_, err := manage.Load(t.Context(), s, filepath.Join(root, "good.tar"), nil, manage.LoadOptions{})
			must(t, err)
			_, err = manage.Remove(t.Context(), s, manage.InUse{}, []string{"loaded:1"}, manage.RemoveOptions{})
			must(t, err)
		case "prune":
			_, err := manage.Load(t.Context(), s, filepath.Join(root, "good.tar"), nil, manage.LoadOptions{})
			must(t, err)
			keep, err := s.Lookup(t.Context(), "keep:1")
			must(t, err)
			use := manage.InUse{Containers: func() ([]manage.Container, error) { return []manage.Container{{Image: keep}}, nil }}
			_, err = manage.Prune(t.Context(), s, use, manage.PruneOptions{All: true})
			must(t, err)
		}
	}
}

// TestKilled kills every operation at several moments: the next process finds
// a store where every name stands for a whole image, and nothing left over.
func TestKilled(t *testing.T) {
	source, sourceRoot := openStore(t)
	files := map[string]string{}
	for i := range 100 {
		files[fmt.Sprint("f", i)] = strings.Repeat(fmt.Sprint(i), 3000)
	}
	build(t, source, sourceRoot, files, commit.Spec{Tags: []string{"loaded:1"}})
	archive := save(t, source, manage.SaveOptions{}, "loaded:1")
	for _, op := range []string{"commit", "save", "load", "prune"} {
		t.Run(op, func(t *testing.T) {
			s, root := openStore(t)
			keep := build(t, s, root, files, commit.Spec{Tags: []string{"keep:1"}})
			s.Close()
			must(t, os.WriteFile(filepath.Join(root, "good.tar"), archive, 0o600))
			for range 12 {
				killed(t, root, op, time.Duration(rand.IntN(40_000))*time.Microsecond)
				checkStore(t, root, keep)
			}
		})
	}
}

func killed(t *testing.T, root, op string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperWork$")
	cmd.Env = append(os.Environ(), "DEVSTACK_TEST_ROOT="+root, "DEVSTACK_TEST_OP="+op)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, len("ready\n")))
	must(t, err)
	<-time.After(after) // any moment will do
	must(t, cmd.Process.Kill())
	rest, _ := io.ReadAll(out)
	if cmd.Wait(); cmd.ProcessState.Exited() {
		t.Fatalf("the helper failed: %s", rest)
	}
}

// checkStore opens the store as the next engine does, and uses all there is.
func checkStore(t *testing.T, root string, keep image.Image) {
	t.Helper()
	s, err := store.Open(root)
	must(t, err)
	defer s.Close()
	tidy(t, root)
	entries, err := s.Entries()
	must(t, err)
	for _, e := range entries {
		img, err := s.Load(e)
		if err != nil {
			t.Errorf("%s is named and not whole: %v", e.Ref, err)
			continue
		}
		must(t, manage.Save(t.Context(), s, io.Discard, []string{e.Ref}, manage.SaveOptions{})) // verifies
		must(t, sameTree(img))
	}
	if got, err := s.Lookup(t.Context(), "keep:1"); err != nil || got.ID != keep.ID {
		if _, err := s.Lookup(t.Context(), keep.Ref); err != nil {
			t.Fatalf("the image in use is gone: %v", err)
		}
	}
	_, err = manage.Collect(t.Context(), s, manage.InUse{})
	must(t, err)
	layers, err := os.ReadDir(filepath.Join(root, "layers/sha256"))
	must(t, err)
	if len(layers) > len(entries) {
		t.Errorf("%d layers for %d names after a collection", len(layers), len(entries))
	}
	leftovers, err := filepath.Glob(filepath.Join(root, "upper*"))
	must(t, err)
	for _, dir := range leftovers { // builds sweep their own
		must(t, os.RemoveAll(dir))
	}
	if _, err := fetch.Ensure(t.Context(), s, "keep:1", fetch.Options{Policy: fetch.Never}); err != nil {
		t.Error(err)
	}
}

// sameTree says whether every file of an image of the helper is whole.
func sameTree(img image.Image) error {
	names, err := os.ReadDir(img.Layers[0].Dir)
	if err != nil {
		return err
	}
	if n := len(names); n != 50 && n != 100 {
		return fmt.Errorf("layer of %s has %d files", img.Ref, n)
	}
	return nil
}
