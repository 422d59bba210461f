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

// Apply gives the project with every reference that the lock has turned into
// a digest reference, and leaves p as it was. Others stay: [Check] tells them.
func (f *File) Apply(p *compose.Project, canon Canon) *compose.Project {
	out := *p
	out.Services, out.Disabled = f.applyAll(p.Services, canon), f.applyAll(p.Disabled, canon)
	return &out
}

func (f *File) applyAll(services map[string]compose.Service, canon Canon) map[string]compose.Service {
	if services == nil {
		return nil
	}
	out := make(map[string]compose.Service, len(services))
	for name, s := range services {
		if s.Build == nil && s.Provider == nil {
			s.Image = f.pinned(s.Image, canon)
		}
		s.Volumes = slices.Clone(s.Volumes)
		for i, m := range s.Volumes {
			if m.Type == compose.MountImage {
				s.Volumes[i].Source = f.pinned(m.Source, canon)
			}
		}
		if s.Build != nil && len(s.Build.AdditionalContexts) > 0 {
			b := *s.Build
			b.AdditionalContexts = maps.Clone(b.AdditionalContexts)
			for key, c := range b.AdditionalContexts {
				if ref, ok := strings.CutPrefix(c, imageContext); ok {
					b.AdditionalContexts[key] = imageContext + f.pinned(ref, canon)
				}
			}
			s.Build = &b
		}
		out[name] = s
	}
	return out
}

// pinned is a written reference as the lock has it.
func (f *File) pinned(ref string, canon Canon) string {
	if ref == "" {
		return ref
	}
	canonical, lockable, err := canon(ref)
	if err != nil || !lockable {
		return ref
	}
	if pin, ok := f.Pin(canonical); ok {
		return pin
	}
	return ref
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
	Message string
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
				out = append(out, Disagreement{ref, u, 0, fmt.Sprintf("%s: image %s is not in %s", place(u.Pos, u), u.Ref, Name)})
			case !img.has(u.Platform):
				out = append(out, Disagreement{ref, u, f.lines[ref], fmt.Sprintf("%s: image %s is not in %s for platform %s", place(u.Pos, u), u.Ref, Name, u.Platform)})
			}
		}
	}
	for ref := range imagesOf(f) {
		if _, ok := byRef[ref]; !ok {
			where := compose.Pos{File: cmp.Or(f.name, Name), Line: f.lines[ref], Col: 1}
			out = append(out, Disagreement{ref, Use{}, f.lines[ref], fmt.Sprintf("%s: no file of the project names image %s any more", where, ref)})
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
