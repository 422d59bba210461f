package fetch

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/store"
)

// BenchmarkPull pulls and unpacks 5 layers, 30,000 files, about 200 MB
// compressed, from docker-registry on loopback to memory, and compares with
// curl | tar xz of all layers at once.
func BenchmarkPull(b *testing.B) {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		b.Skip("docker-registry is not installed")
	}
	reg := startRegistry(b, program, false)
	var layers []imagetest.Layer
	for i := range 5 {
		layers = append(layers, benchLayer(b, uint64(i)))
	}
	img := imagetest.New(b, image.Config{}, layers...)
	ref := reg.Push(b, "bench:1", img)
	dir := imagetest.TempDir(b)
	var script strings.Builder
	parts, err := img.Layers()
	if err != nil {
		b.Fatal(err)
	}
	for i, l := range parts {
		d, err := l.Digest()
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(&script, "mkdir -p base/%d; curl -sf http://%s/v2/bench/blobs/%s | tar xz -C base/%d &\n", i, reg.Host, d, i)
	}
	script.WriteString("wait\n")
	var ours, base time.Duration
	for b.Loop() {
		began := time.Now()
		cmd := exec.Command("sh", "-c", script.String())
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		base += time.Since(began)
		s, err := store.Open(filepath.Join(dir, "data"))
		if err != nil {
			b.Fatal(err)
		}
		began = time.Now()
		if _, err := Ensure(b.Context(), s, ref, Options{}); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(began)
		s.Close()
		os.RemoveAll(filepath.Join(dir, "data"))
		os.RemoveAll(filepath.Join(dir, "base"))
	}
	b.ReportMetric(float64(base.Milliseconds())/float64(b.N), "curl-tar-ms")
	b.ReportMetric(float64(ours.Milliseconds())/float64(b.N), "ours-ms")
	b.ReportMetric(float64(ours)/float64(base), "ratio")
}

// benchLayer has 6,000 files like those of a distribution: many small ones of
// text, a few large ones that compress badly.
func benchLayer(b *testing.B, seed uint64) imagetest.Layer {
	r := rand.New(rand.NewPCG(seed, 1))
	words := make([]string, 3000)
	for i := range words {
		words[i] = fmt.Sprintf("%x", r.Uint64())[:2+r.IntN(9)]
	}
	var entries []imagetest.Entry
	for i := range 6000 {
		var data bytes.Buffer
		size := 1000 + r.IntN(20_000)
		if i%500 == 0 {
			size = 4 << 20
		}
		for data.Len() < size {
			data.WriteString(words[r.IntN(len(words))])
			data.WriteByte(" \n"[r.IntN(2)])
		}
		entries = append(entries, imagetest.Entry{
			Header: tar.Header{Name: fmt.Sprintf("usr/share/%d/%d/file%d", seed, i/50, i)}, Data: data.Bytes(),
		})
	}
	return imagetest.Tar(b, entries...)
}
