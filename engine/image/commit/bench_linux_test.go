package commit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"devstack/engine/image/commit"
)

// BenchmarkLayer commits a copy of a real tree: the Go distribution's
// sources and programs, about 15,000 files.
func BenchmarkLayer(b *testing.B) {
	for _, c := range []commit.Compression{commit.Gzip, commit.Zstd, commit.None} {
		b.Run(string(c), func(b *testing.B) {
			s, root := openStore(b)
			dir := filepath.Join(root, "tree")
			for b.Loop() {
				b.StopTimer()
				if out, err := exec.Command("cp", "-a", goRoot(b)+"/src", dir).CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				if _, err := s.GC(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				l, err := commit.Layer(b.Context(), s, dir, commit.Options{Epoch: epoch, Compression: c})
				must(b, err)
				b.ReportMetric(float64(l.Size), "bytes")
			}
		})
	}
}

func goRoot(b *testing.B) string {
	b.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	must(b, err)
	return string(out[:len(out)-1])
}

// BenchmarkSmallLayer is the step of an edit: one file.
func BenchmarkSmallLayer(b *testing.B) {
	s, root := openStore(b)
	dir := filepath.Join(root, "tree")
	n := 0
	for b.Loop() {
		n++
		must(b, os.MkdirAll(dir+"/app", 0o755))
		must(b, os.WriteFile(dir+"/app/main", []byte{byte(n), byte(n >> 8)}, 0o644))
		_, err := commit.Layer(b.Context(), s, dir, commit.Options{Epoch: epoch})
		must(b, err)
	}
}
