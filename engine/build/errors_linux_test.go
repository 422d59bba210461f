package build

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"devstack/engine/build/dockerfile"
	"devstack/engine/build/source"
	"devstack/engine/image"
)

// TestBadInput compares what is said of each Dockerfile in testdata/errors.txtar
// with the section after it.
func TestBadInput(t *testing.T) {
	const file = "testdata/errors.txtar"
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newShop(t).busybox(image.Config{})
	ctx := source.Spec{Kind: source.KindDir, Path: tree(t, map[string]string{"f": "f", "g": "g", "dir/h": "h"})}
	golden := txtar.Archive{Comment: ar.Comment}
	want := map[string]string{}
	for _, f := range ar.Files {
		want[f.Name] = string(f.Data)
	}
	covered := map[string]bool{}
	for _, f := range ar.Files {
		if strings.HasPrefix(f.Name, "! ") {
			continue
		}
		r := s.request(nil)
		r.Context, r.Inline = ctx, string(f.Data)
		if r.Inline == "" {
			r.Inline = "\n"
		}
		o := s.try(t.Context(), r)
		if o.err == nil {
			t.Errorf("%s: it is built", f.Name)
			continue
		}
		covered[strings.Fields(f.Name)[0]] = true
		got := s.complaint(o.err)
		golden.Files = append(golden.Files, f, txtar.File{Name: "! " + f.Name, Data: []byte(got)})
		if got != want["! "+f.Name] && !*update {
			t.Errorf("%s: got\n%s\nwant\n%s", f.Name, got, want["! "+f.Name])
		}
	}
	for _, name := range []string{
		"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
		"RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
	} {
		if !covered[name] {
			t.Errorf("there is no bad input of %s", name)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(&golden), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Contains(txtar.Format(&golden), []byte(s.data)) {
		t.Error("an error names the engine's own directories")
	}
}

var update = flag.Bool("update", false, "write what is found to testdata")

// complaint is an error as users see it, without what differs between runs.
func (s *shop) complaint(err error) string {
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(err.Error(), s.base, "oci:BASE"))
	b.WriteByte('\n')
	var place *dockerfile.Error
	if errors.As(err, &place) {
		b.WriteString(place.Excerpt())
	}
	var step *StepError
	if errors.As(err, &step) {
		b.Write(step.Log)
	}
	return regexp.MustCompile(`127\.0\.0\.1:\d+->`).ReplaceAllString(b.String(), "")
}
