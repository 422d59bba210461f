package build

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"devstack/compose"
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

// TestBadNames: what the finished image could not be called or dated is said
// before the first step runs.
func TestBadNames(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	for want, change := range map[string]func(*Request){
		`repository name "Upper" must be lower case`: func(r *Request) { r.Tags = []string{"fine", "Upper:1"} },
		`is no name for an image that is built`:      func(r *Request) { r.Tags = []string{"rootfs:/x"} },
		`cannot be named by a digest`:                func(r *Request) { r.Tags = []string{"a@sha256:" + strings.Repeat("0", 64)} },
		`is beyond the year 9999`:                    func(r *Request) { r.Epoch = ptr(time.Unix(1e15, 0)) },
		`SOURCE_DATE_EPOCH -99999999999999`:          func(r *Request) { r.Args = compose.Mapping{"SOURCE_DATE_EPOCH": ptr("-99999999999999")} },
	} {
		o := s.try(t.Context(), s.inline("FROM box\nRUN echo ran", change))
		if o.err == nil || !strings.Contains(o.err.Error(), want) || len(o.did(Started)) > 0 {
			t.Errorf("want %q: %v, after %v", want, o.err, o.did(Started))
		}
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
