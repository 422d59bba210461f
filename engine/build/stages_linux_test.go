package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"devstack/compose"
	"devstack/engine/build/dockerfile"
	"devstack/engine/build/source"
	"devstack/engine/image"
	"devstack/engine/image/imagetest"
)

func TestOnlyNeededStagesInParallel(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	// Each of the two waits for the other through a cache mount: they can only
	// end if they run at once.
	const meet = `--mount=type=cache,target=/meet sh -c 'touch /meet/$0; while [ ! -e /meet/$1 ]; do usleep 1000; done'`
	o := s.dockerfile(`FROM ${BASE} AS one
RUN `+meet+` a b && echo one > /one
FROM ${BASE} AS two
RUN `+meet+` b a && echo two > /two
FROM ${BASE} AS unneeded
RUN false
FROM scratch AS result
COPY --from=one /one /
COPY --from=1 /two /
FROM unneeded
RUN false
`, func(r *Request) { r.Target = "result" })
	if o.file("one") != "one\n" || o.file("two") != "two\n" || len(o.img.Layers) != 2 {
		t.Errorf("%+v", o.img)
	}
}

func TestCacheIsByContent(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	files := map[string]string{
		"a.txt": "a", "b.txt": "b",
		"Dockerfile": `ARG BASE
FROM ${BASE} AS build
COPY a.txt /
RUN echo first
COPY b.txt /
RUN cat /b.txt > /out
FROM scratch
COPY --from=build /out /
`,
	}
	r := s.request(files)
	first := s.build(r)
	write(t, r.Context.Path, map[string]string{"b.txt": "changed"})
	second := s.build(r)
	if got := second.did(Cached); !slices.Equal(got, []string{"COPY a.txt /", "RUN echo first"}) {
		t.Errorf("cached: %q", got)
	}
	if second.img.Digest == first.img.Digest || second.file("out") != "changed" {
		t.Error("the change is not in the image")
	}
	// The same elsewhere, later, with other modes.
	other := s.request(files)
	now := time.Now().Add(-time.Hour)
	os.Chtimes(filepath.Join(other.Context.Path, "a.txt"), now, now)
	os.Chmod(filepath.Join(other.Context.Path, "a.txt"), 0o640)
	third := s.build(other)
	if third.img.Digest != first.img.Digest || len(third.did(Started)) != 0 {
		t.Errorf("clone: %s, want %s; %q", third.img.Digest, first.img.Digest, third.did(Started))
	}
	// A layer that comes out as it was leaves what follows cached.
	r.NoCacheFilter = []string{"build"}
	fourth := s.build(r)
	if got := fourth.did(Cached); !slices.Equal(got, []string{"COPY --from=build /out /"}) || fourth.img.Digest != second.img.Digest {
		t.Errorf("cached without cache: %q", got)
	}
}

// TestLinkedLayers: what COPY --link makes fits on any base, links in its way
// or not.
func TestLinkedLayers(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	const copy = "COPY --link --chown=7:8 --chmod=640 <<x /lib/deep/file\nlinked\nx\n"
	s.dockerfile("FROM ${BASE}\n" + copy)
	o := s.dockerfile("FROM ${BASE}\nRUN rm -rf /lib; mkdir /real; ln -s real /lib\n" + copy)
	if got := o.did(Cached); len(got) != 1 || !strings.HasPrefix(got[0], "COPY --link") {
		t.Errorf("cached: %q", got)
	}
	st, err := os.Lstat(o.path("/lib"))
	if err != nil || !st.IsDir() || o.file("/lib/deep/file") != "linked\n" || o.has("/real/deep") {
		t.Errorf("%v %v", st, err)
	}
}

// TestContextThatChanges: a file that is written while it is read makes the
// build begin again.
func TestContextThatChanges(t *testing.T) {
	s := newShop(t)
	r := s.request(map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", "f": "old"})
	var once sync.Once
	var warned string
	img, err := s.Build(t.Context(), r, func(e Event) {
		switch {
		case e.State == Started && e.Index == 1: // its key is known, nothing is copied
			once.Do(func() { write(t, r.Context.Path, map[string]string{"f": "new and longer"}) })
		case e.State == Warning:
			warned += string(e.Line)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	o := &outcome{TB: t, s: s, img: img}
	if o.file("f") != "new and longer" || !strings.Contains(warned, `"f" changed while it was being read`) {
		t.Errorf("%q; %q", o.file("f"), warned)
	}
}

func TestAnotherMachine(t *testing.T) {
	text := `FROM ${BASE}
WORKDIR /w
RUN echo $RANDOM > /dev/null; echo x > y; mkdir d; ln -s y l; ln y h; chown 1000:1000 d
COPY <<EOF /etc/conf
k=v
EOF
`
	var digests []string
	for range 2 {
		s := newShop(t).busybox(image.Config{})
		o := s.dockerfile(text)
		digests = append(digests, string(o.img.Manifest))
	}
	if digests[0] != digests[1] {
		t.Errorf("digests differ: %q", digests)
	}
}

func TestFailingStep(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.try(t.Context(), s.inline("FROM ${BASE}\nRUN echo before; echo $((6*7)); exit 3\nRUN true\n"))
	var step *StepError
	var place *dockerfile.Error
	if !errors.As(o.err, &step) || !errors.As(o.err, &place) {
		t.Fatalf("%T %v", o.err, o.err)
	}
	if string(step.Log) != "before\n42\n" || place.Lines.First != 3 || !strings.Contains(place.Excerpt(), ">>> RUN echo before") || !strings.Contains(o.err.Error(), "exit code 3") {
		t.Errorf("%v\n%s\n%s", o.err, step.Log, place.Excerpt())
	}
	if got := o.did(Failed); len(got) != 1 {
		t.Errorf("failed: %q", got)
	}
}

func TestNoShell(t *testing.T) {
	s := newShop(t)
	o := s.try(t.Context(), s.inline("FROM scratch\nRUN echo\n"))
	if o.err == nil || !strings.Contains(o.err.Error(), "no shell") {
		t.Error(o.err)
	}
}

func TestCancel(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := s.Build(ctx, s.inline("FROM ${BASE}\nRUN echo up; sleep 1000\n"), func(e Event) {
		if e.State == Log {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestIdenticalBuilds: what several builds want at once runs once, and goes on
// for the others when the one that began it is cancelled.
func TestIdenticalBuilds(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	r := s.inline("FROM ${BASE}\nRUN --mount=type=cache,target=/c echo x >> /c/runs; echo up; while [ ! -e /c/go ]; do usleep 1000; done; cp /c/runs /runs\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	up := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := s.Build(ctx, r, func(e Event) {
			if e.State == Log {
				up <- struct{}{}
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled one: %v", err)
		}
	})
	<-up
	joined := make(chan struct{}, 2)
	var others [2]image.Image
	for i := range others {
		wg.Go(func() {
			var err error
			others[i], err = s.Build(t.Context(), r, func(e Event) {
				if e.State == Started && e.Index > 0 {
					joined <- struct{}{}
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	<-joined
	<-joined
	cancel()
	uses, err := s.solver.Mounts.List()
	if err != nil || len(uses) != 1 {
		t.Fatalf("%v %v", uses, err)
	}
	write(t, filepath.Join(s.data, "builds/cache", uses[0].Name, "tree"), map[string]string{"go": ""})
	wg.Wait()
	o := &outcome{TB: t, s: s, img: others[0]}
	if o.file("runs") != "x\n" || others[0].Digest != others[1].Digest {
		t.Errorf("%q", o.file("runs"))
	}
}

func TestAdditionalContexts(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	ctxDir := tree(t, map[string]string{"f": "from context"})
	o := s.dockerfile(`FROM img AS a
RUN echo a > /a
FROM replaced AS replaced
RUN false
FROM scratch
COPY --from=dir f /f
COPY --from=a /a /
COPY --from=replaced /f /g
`, func(r *Request) {
		r.Contexts = map[string]source.Spec{
			"img": {Kind: source.KindImage, Ref: s.base}, "dir": {Kind: source.KindDir, Path: ctxDir},
			"replaced": {Kind: source.KindDir, Path: ctxDir},
		}
	})
	if o.file("f") != "from context" || o.file("a") != "a\n" || o.file("g") != "from context" {
		t.Error("files are wrong")
	}
}

// TestPlatformsOfAdditionalContext: an image given as a context is that of the
// platform of each stage.
func TestPlatformsOfAdditionalContext(t *testing.T) {
	s := newShop(t)
	of := func(arch string) v1.Image {
		return imagetest.Build(t, imagetest.Spec{Architecture: arch, Layers: []imagetest.Layer{imagetest.Files(t, map[string]string{"arch": arch})}})
	}
	ref := imagetest.Serve(t, nil).PushIndex(t, "many:1", imagetest.Index(t, of("amd64"), of("arm64"), of("s390x")))
	o := s.dockerfile(`FROM --platform=linux/s390x img AS a
FROM --platform=linux/arm64 img AS b
FROM --platform=linux/amd64 img AS c
FROM scratch
COPY --from=a arch /a
COPY --from=b arch /b
COPY --from=c arch /c
`, func(r *Request) {
		r.Contexts = map[string]source.Spec{"img": {Kind: source.KindImage, Ref: ref}}
	})
	if got := o.file("a") + " " + o.file("b") + " " + o.file("c"); got != "s390x arm64 amd64" {
		t.Error(got)
	}
}

// TestLimitsAreInKeys: a command that another limit could make do something
// else is run again.
func TestLimitsAreInKeys(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	for _, x := range []struct {
		files int64
		ran   int
	}{{100, 1}, {200, 1}, {100, 0}} {
		o := s.dockerfile("FROM ${BASE}\nRUN ulimit -n > /limit\n", func(r *Request) {
			r.Ulimits = map[string]compose.Ulimit{"nofile": {Single: x.files}}
		})
		if got := strings.TrimSpace(o.file("limit")); got != strconv.FormatInt(x.files, 10) || len(o.did(Done)) != x.ran {
			t.Errorf("%+v: %s, %q", x, got, o.did(Done))
		}
	}
}

func TestBaseFromDirectory(t *testing.T) {
	s := newShop(t)
	root := tree(t, map[string]string{"bin/": "", "etc/keep": "kept", "proc/": "", "dev/": ""})
	b, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs busybox-static")
	}
	if err := os.WriteFile(filepath.Join(root, "bin/sh"), b, 0o755); err != nil {
		t.Fatal(err)
	}
	s.base = "rootfs:" + root
	o := s.dockerfile("FROM ${BASE}\nRUN echo hi > /made\n")
	if o.file("made") != "hi\n" || o.file("etc/keep") != "kept" || len(o.img.Layers) != 2 {
		t.Errorf("%+v", o.img)
	}
	if again := s.dockerfile("FROM ${BASE}\nRUN echo hi > /made\n"); again.img.Digest != o.img.Digest || len(again.did(Cached)) != 1 {
		t.Errorf("again: %s %+v", again.img.Digest, again.events)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/keep")); err != nil {
		t.Error(err)
	}
}
