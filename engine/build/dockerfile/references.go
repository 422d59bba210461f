package dockerfile

import (
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
	f.eachSource(s, needed, func(Source) {})
	var out []*Stage
	for _, s := range f.Stages {
		if needed[s] {
			out = append(out, s)
		}
	}
	return out
}

// Images are the references of images that building s takes, sorted: what a
// lock file has to name.
func (f *File) Images(s *Stage) []string {
	seen := map[string]bool{}
	f.eachSource(s, map[*Stage]bool{}, func(src Source) {
		if src.Kind == Image {
			seen[src.Name] = true
		}
	})
	var out []string
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (f *File) eachSource(s *Stage, seen map[*Stage]bool, visit func(Source)) {
	if seen[s] {
		return
	}
	seen[s] = true
	all := []Source{s.Base}
	if !s.Replaced() {
		for _, c := range s.commands {
			found, _ := f.sources(s, c.Command) // checked by Parse
			all = append(all, found...)
		}
	}
	for _, src := range all {
		visit(src)
		if src.Kind == Built {
			f.eachSource(src.Stage, seen, visit)
		}
	}
}
