package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// sourceFiles is how many files the changed COPY takes.
const sourceFiles = 300

// buildCases are the names of what builds measures.
const (
	cachedBuild  = "build, all cached"
	changedBuild = "build, one COPY and one RUN"
)

// builds measures a rebuild without a change, and one after a file has
// changed: a COPY of a few hundred files and the RUN after it are done again.
func (b *bench) builds(t tool) {
	folder, err := writeBuild(b.dir, t.image)
	if err == nil && b.wanted(t, cachedBuild) {
		_, err = t.run(folder, "build")
		if err == nil {
			b.repeat(t, folder, cachedBuild, "build")
		}
	}
	if err != nil {
		b.report.fail(t.name, cachedBuild, err)
		return
	}
	if !b.wanted(t, changedBuild) {
		return
	}
	if _, err := t.run(folder, "build"); err != nil {
		b.report.fail(t.name, changedBuild, err)
		return
	}
	b.sample(t, changedBuild, b.runs, func(i int) (time.Duration, error) {
		if err := os.WriteFile(filepath.Join(folder, "src", "changed"), fmt.Appendf(nil, "change %d\n", i), 0o644); err != nil {
			return 0, err
		}
		return t.run(folder, "build")
	})
}

// coldBuild measures a rebuild without a change and without an engine, which
// the command has to start.
func (b *bench) coldBuild(t tool) {
	name := cachedBuild + ", cold engine"
	if !b.wanted(t, name) {
		return
	}
	folder, err := writeBuild(b.dir, t.image)
	if err == nil {
		_, err = t.run(folder, "build") // not cached
	}
	if err != nil {
		b.report.fail(t.name, name, err)
		return
	}
	b.sample(t, name, min(5, b.runs), func(int) (time.Duration, error) {
		if _, err := t.run(folder, "engine", "stop"); err != nil {
			return 0, err
		}
		return t.run(folder, "build")
	})
}

// writeBuild makes a project whose service is built: two COPYs, each with a
// RUN after it.
func writeBuild(dir, image string) (string, error) {
	folder, err := writeProject(dir, "built", "services:\n  app: {build: ., image: devstack-bench-built}\n")
	if err != nil {
		return "", err
	}
	files := map[string]string{
		"Dockerfile": "FROM " + image + `
WORKDIR /app
COPY deps .
RUN ["` + truePath + `"]
COPY src src
RUN ["` + truePath + `"]
CMD ["` + idlePath + `"]
`,
		"deps": "deps\n", "src/changed": "change\n",
	}
	for i := range sourceFiles {
		files[fmt.Sprintf("src/%d/%d", i/20, i)] = fmt.Sprintf("file %d\n", i)
	}
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return folder, nil
}
