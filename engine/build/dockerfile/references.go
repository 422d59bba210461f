package dockerfile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/util/suggest"
)

// suggestion adds "did you mean" where one of options is near to what was
// written.
func suggestion(err error, written string, options []string) error {
	if near, ok := suggest.Search(written, options, false); ok && near != "" {
		return fmt.Errorf("%w (did you mean %s?)", err, near)
	}
	return err
}

// from finds what --from of a step of stage s names.
func (f *File) from(s *Stage, name string) (Source, error) {
	found, ok := f.stage(name)
	if n, err := strconv.Atoi(name); !ok && err == nil {
		if n < 0 || n >= len(f.Stages) {
			return Source{}, fmt.Errorf("invalid stage index %d: there are %d stages", n, len(f.Stages))
		}
		found, ok = f.Stages[n], true
	}
	switch {
	case ok && found == s:
		return Source{}, fmt.Errorf("circular dependency detected on stage: %s", s.Name)
	case ok && found.Index > s.Index:
		return Source{}, fmt.Errorf("stage %q needs to be defined before stage %q, which uses it", name, s.Name)
	case ok:
		return Source{Kind: Built, Stage: found}, nil
	case strings.EqualFold(name, scratch):
		return Source{Kind: Scratch}, nil
	case f.isContext(name):
		return Source{Kind: Context, Name: name}, nil
	}
	return Source{Kind: Image, Name: name}, nil
}

// fromWord refuses variables in --from.
func (f *File) fromWord(s *Stage, name string) (Source, error) {
	word, _, err := shell.NewLex(f.escape).ProcessWord(name, newEnv(nil))
	if err != nil {
		return Source{}, err
	}
	if word != name {
		return Source{}, fmt.Errorf("variable expansion is not supported for --from: define a new stage with FROM that uses a global ARG instead")
	}
	return f.from(s, name)
}

// sources are what an instruction reads besides its own stage.
func (f *File) sources(s *Stage, c instructions.Command) ([]Source, error) {
	var out []Source
	switch c := c.(type) {
	case *instructions.CopyCommand:
		if c.From != "" {
			src, err := f.fromWord(s, c.From)
			if err != nil {
				return nil, err
			}
			out = append(out, src)
		}
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			if m.From == "" {
				continue
			}
			src, err := f.from(s, m.From)
			if err != nil {
				return nil, err
			}
			out = append(out, src)
		}
	}
	return out, nil
}

// checkReferences finds every --from that can never be, in needed stages or
// not.
func (f *File) checkReferences() error {
	for _, s := range f.Stages {
		for _, c := range s.commands {
			if _, err := f.sources(s, c.Command); err != nil {
				return f.fault(err, c.Location())
			}
		}
	}
	return nil
}

// Needs are the stages that building s takes, itself included, in order. What
// ONBUILD of an image adds is not known here.
func (f *File) Needs(s *Stage) []*Stage {
	needed := map[*Stage]bool{}
	f.eachSource(s, needed, func(Source, ImageUse) {})
	var out []*Stage
	for _, s := range f.Stages {
		if needed[s] {
			out = append(out, s)
		}
	}
	return out
}

// ImageUse is a place of a Dockerfile that names an image.
type ImageUse struct {
	Ref      string
	What     string // the instruction: "FROM", "COPY", "RUN"
	Platform string // of FROM --platform; "" is the build's
	Line     int
}

// Images are the places that name the images which building s takes: what a
// lock file has to pin. They are in the order of the file.
func (f *File) Images(s *Stage) []ImageUse {
	var out []ImageUse
	f.eachSource(s, map[*Stage]bool{}, func(src Source, at ImageUse) {
		if src.Kind == Image {
			at.Ref = src.Name
			out = append(out, at)
		}
	})
	slices.SortFunc(out, func(a, b ImageUse) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Ref, b.Ref)) })
	return slices.Compact(out)
}

func (f *File) eachSource(s *Stage, seen map[*Stage]bool, visit func(Source, ImageUse)) {
	if seen[s] {
		return
	}
	seen[s] = true
	one := func(src Source, at ImageUse) {
		visit(src, at)
		if src.Kind == Built {
			f.eachSource(src.Stage, seen, visit)
		}
	}
	one(s.Base, ImageUse{What: "FROM", Platform: s.Platform, Line: s.Lines.First})
	if s.Replaced() {
		return
	}
	for _, c := range s.commands {
		found, _ := f.sources(s, c.Command) // checked by Parse
		for _, src := range found {
			one(src, ImageUse{What: strings.ToUpper(c.Name()), Line: linesOf(c.Location()).First})
		}
	}
}
