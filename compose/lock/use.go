package lock

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"devstack/compose"
)

// Use is one place that names an image.
type Use struct {
	Ref      string // as written
	Platform string // that the place asks for; "" any
	Service  string // for whose sake
	What     string // "image", "volume", "additional context", "FROM", "COPY --from", ...
	Pos      compose.Pos
}

const imageContext = "docker-image://"

// Uses are the images that project files name: of services that are not
// built, of volumes, of additional contexts; those of services that the
// profiles leave out too, since a lock holds for all. What Dockerfiles name
// comes from who reads them.
func Uses(p *compose.Project) []Use {
	var uses []Use
	for _, services := range []map[string]compose.Service{p.Services, p.Disabled} {
		for _, name := range slices.Sorted(maps.Keys(services)) {
			uses = append(uses, usesOf(p, name, services[name])...)
		}
	}
	return uses
}

func usesOf(p *compose.Project, name string, s compose.Service) []Use {
	var uses []Use
	add := func(ref, what string, keys ...string) {
		keys = append([]string{"services", name}, keys...)
		uses = append(uses, Use{Ref: ref, Platform: s.Platform, Service: name, What: what, Pos: p.Pos(keys...)})
	}
	if s.Image != "" && s.Build == nil && s.Provider == nil {
		add(s.Image, "image", "image")
	}
	for i, m := range s.Volumes {
		if m.Type == compose.MountImage && m.Source != "" {
			add(m.Source, "volume", "volumes", strconv.Itoa(i))
		}
	}
	for i, init := range s.PreStart {
		if init.Image != "" {
			add(init.Image, "init container", "pre_start", strconv.Itoa(i), "image")
			if init.Platform != "" {
				uses[len(uses)-1].Platform = init.Platform
			}
		}
	}
	if s.Build == nil {
		return uses
	}
	for _, key := range slices.Sorted(maps.Keys(s.Build.AdditionalContexts)) {
		if ref, ok := strings.CutPrefix(s.Build.AdditionalContexts[key], imageContext); ok {
			add(ref, "additional context", "build", "additional_contexts", key)
		}
	}
	return uses
}

// Want is an image to resolve.
type Want struct {
	Ref  string // canonical
	Uses []Use
}

// Plan says what to ask registries for, sorted, so that a lock holds for
// uses: what old (may be nil) does not have, has not for a platform that is
// asked for, or what update wants anew. kept has the rest of old that is still
// used: add the answers to it. update nil keeps all there is.
func Plan(old *File, uses []Use, canon Canon, update func(Use) bool) (wants []Want, kept *File, err error) {
	byRef, err := group(uses, canon)
	if err != nil {
		return nil, nil, err
	}
	kept = New()
	for _, ref := range slices.Sorted(maps.Keys(byRef)) {
		img, ok := imagesOf(old)[ref]
		for _, u := range byRef[ref] {
			ok = ok && img.has(u.Platform) && (update == nil || !update(u))
		}
		if ok {
			kept.Images[ref] = img
		} else {
			wants = append(wants, Want{ref, byRef[ref]})
		}
	}
	return wants, kept, nil
}

// has says whether the image can be what a place asks for.
func (i Image) has(platform string) bool {
	if platform == "" {
		return true
	}
	for p := range i.Platforms {
		// A place may ask without a variant for what has one, and the other
		// way round.
		if p == platform || strings.HasPrefix(p, platform+"/") || strings.HasPrefix(platform, p+"/") {
			return true
		}
	}
	return false
}

func group(uses []Use, canon Canon) (map[string][]Use, error) {
	byRef := map[string][]Use{}
	for _, u := range uses {
		ref, lockable, err := canon(u.Ref)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place(u.Pos, u), err)
		}
		if lockable {
			byRef[ref] = append(byRef[ref], u)
		}
	}
	return byRef, nil
}

// Disagreement is a place where lock and files do not agree.
type Disagreement struct {
	Ref     string // canonical
	Use     Use    // the place in the files; zero for an image that none names
	Line    int    // of the lock; 0 where that has no such image
	Message string // with the place
	Pos     compose.Pos
	Text    string // without the place
}

func (d Disagreement) String() string { return d.Message }

// Check lists every place where lock and files disagree, those of the files
// first, in their order: the check of --frozen. f nil is a lock that is not
// there.
func Check(f *File, uses []Use, canon Canon) ([]Disagreement, error) {
	byRef, err := group(uses, canon)
	if err != nil {
		return nil, err
	}
	var out []Disagreement
	for ref, places := range byRef {
		img, ok := imagesOf(f)[ref]
		for _, u := range places {
			switch {
			case !ok:
				out = append(out, disagree(ref, u, 0, fmt.Sprintf("image %s is not in %s", u.Ref, Name)))
			case !img.has(u.Platform):
				out = append(out, disagree(ref, u, f.lines[ref], fmt.Sprintf("image %s is not in %s for platform %s", u.Ref, Name, u.Platform)))
			}
		}
	}
	for ref := range imagesOf(f) {
		if _, ok := byRef[ref]; !ok {
			where := compose.Pos{File: cmp.Or(f.name, Name), Line: f.lines[ref], Col: 1}
			text := fmt.Sprintf("no file of the project names image %s any more", ref)
			out = append(out, Disagreement{Ref: ref, Line: f.lines[ref], Pos: where, Text: text, Message: fmt.Sprintf("%s: %s", where, text)})
		}
	}
	slices.SortFunc(out, func(a, b Disagreement) int {
		if (a.Use.Ref == "") != (b.Use.Ref == "") {
			return cmp.Compare(b.Use.Ref, a.Use.Ref)
		}
		return cmp.Or(cmp.Compare(a.Use.Pos.File, b.Use.Pos.File), cmp.Compare(a.Use.Pos.Line, b.Use.Pos.Line),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Message, b.Message))
	})
	return out, nil
}

func disagree(ref string, u Use, line int, text string) Disagreement {
	d := Disagreement{Ref: ref, Use: u, Line: line, Pos: u.Pos, Text: text, Message: place(u.Pos, u) + ": " + text}
	if u.Service != "" {
		d.Text = "service " + u.Service + ": " + text
	}
	return d
}

// place names where an image is named, in the file or at least the service.
func place(pos compose.Pos, u Use) string {
	what := cmp.Or(u.What, "image")
	if u.Service != "" {
		what = "service " + u.Service + ", " + what
	}
	if at := pos.String(); at != "" {
		return at + ": " + what
	}
	return what
}
