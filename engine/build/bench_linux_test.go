package build

import (
	"fmt"
	"testing"

	"devstack/engine/image"
)

// BenchmarkCached is a build of six steps that all were done before.
func BenchmarkCached(b *testing.B) {
	s := newShop(b).busybox(image.Config{})
	r := s.request(benchFiles(0))
	s.build(r)
	for b.Loop() {
		if o := s.build(r); len(o.did(Started)) != 0 {
			b.Fatal(o.did(Started))
		}
	}
}

// BenchmarkOneChange changes a file: a COPY and a RUN are done again.
func BenchmarkOneChange(b *testing.B) {
	s := newShop(b).busybox(image.Config{})
	r := s.request(benchFiles(0))
	s.build(r)
	n := 0
	for b.Loop() {
		n++
		write(b, r.Context.Path, map[string]string{"src/changed": fmt.Sprint(n)})
		if o := s.build(r); len(o.did(Started)) != 2 {
			b.Fatal(o.did(Started))
		}
	}
}

func benchFiles(n int) map[string]string {
	files := map[string]string{
		"deps": "deps", "src/changed": fmt.Sprint(n),
		"Dockerfile": `ARG BASE
FROM ${BASE}
WORKDIR /app
COPY deps .
RUN cp deps installed
ENV A=1
COPY src src
RUN cat src/changed > built
CMD ["cat", "built"]
`,
	}
	for i := range 200 {
		files[fmt.Sprintf("src/%d", i)] = fmt.Sprint("file ", i)
	}
	return files
}
