package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxSize bounds a Dockerfile, in bytes.
const maxSize = 8 << 20

// scratch is the base that is nothing.
const scratch = "scratch"

// Options are what a build asks of its Dockerfile.
type Options struct {
	Name          string            // as messages show it; "" is "Dockerfile"
	Args          map[string]string // --build-arg
	Target        string            // --target; "" is the last stage
	Platform      ocispec.Platform  // required: of the result
	BuildPlatform ocispec.Platform  // required: of this machine
	// IsContext says whether a name is an additional context; may be nil.
	IsContext func(name string) bool
	// Ignored says whether a path of the context is left out of it, for the
	// linter; may be nil.
	Ignored func(path string) bool
	// Warn takes what the linter finds; may be nil.
	Warn func(Warning)
}

// File is a parsed Dockerfile.
type File struct {
	Name   string
	Stages []*Stage

	o      Options
	source []string
	escape rune
	lint   *linter.Linter
	found  []parser.Range // by lint, the first
	global *env
	meta   []instructions.ArgCommand
}

// Stage is one FROM with what follows.
type Stage struct {
	Index    int
	Name     string // as AS says, else "stage-INDEX"
	Named    bool
	Base     Source
	Platform string // of --platform, expanded; "" is the build's
	Lines    Lines

	commands []command
	location []parser.Range
}

// command is an instruction and whether ONBUILD of the base brought it.
type command struct {
	instructions.Command
	onBuild bool
}

// Kinds of Source.
type Kind string

// What FROM, COPY --from and --mount=from can name.
const (
	Scratch Kind = "scratch" // nothing
	Context Kind = "context" // the build's own context, or the additional one called Name
	Image   Kind = "image"   // Name is a reference
	Built   Kind = "stage"   // Stage
)

// Source is a tree that a step reads or a stage begins with.
type Source struct {
	Kind  Kind
	Name  string
	Stage *Stage
}

func (s Source) String() string {
	switch s.Kind {
	case Built:
		return "stage " + s.Stage.Name
	case Context:
		if s.Name == "" {
			return "context"
		}
		return "context " + s.Name
	case Scratch:
		return scratch
	}
	return "image " + s.Name
}

// Parse reads a Dockerfile. All faults of its instructions come at once.
func Parse(src []byte, o Options) (*File, error) {
	if o.Name == "" {
		o.Name = "Dockerfile"
	}
	f := &File{Name: o.Name, o: o}
	if len(bytes.TrimSpace(src)) == 0 {
		return nil, f.fault(errors.New("the Dockerfile is empty"), nil)
	}
	if len(src) > maxSize {
		return nil, f.fault(fmt.Errorf("the Dockerfile is larger than %d bytes", maxSize), nil)
	}
	f.source = strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n"), "\n")
	if err := f.openLinter(src); err != nil {
		return nil, err
	}
	ast, err := parser.Parse(bytes.NewReader(src))
	if err != nil {
		_, _, at, _ := parser.ParseDirective("escape", src) // alone knows no place
		return nil, f.fault(err, at)
	}
	for _, w := range ast.Warnings {
		if w.URL == linter.RuleNoEmptyContinuation.URL && w.Location != nil {
			f.lint.Run(&linter.RuleNoEmptyContinuation, []parser.Range{*w.Location}, linter.RuleNoEmptyContinuation.Format())
		}
	}
	f.escape = ast.EscapeToken
	stages, err := f.instructions(ast.AST)
	if err != nil {
		return nil, err
	}
	if len(stages) == 0 {
		return nil, f.fault(errors.New("the Dockerfile has no FROM: there is nothing to build"), nil)
	}
	f.lintStages(stages)
	return f, f.resolve(stages)
}

// instructions parses every instruction, and goes on after one that is wrong.
func (f *File) instructions(ast *parser.Node) ([]instructions.Stage, error) {
	var stages []instructions.Stage
	var faults Errors
	note := func(err error, n *parser.Node) {
		var e *Error
		if errors.As(f.fault(err, n.Location()), &e) {
			faults = append(faults, e)
		}
	}
	for _, n := range ast.Children {
		parsed, err := instructions.ParseInstructionWithLinter(n, f.lint)
		if err != nil {
			note(err, n)
			continue
		}
		switch c := parsed.(type) {
		case *instructions.Stage:
			stages = append(stages, *c)
		case *instructions.ArgCommand:
			if len(stages) == 0 {
				f.meta = append(f.meta, *c)
				continue
			}
			stages[len(stages)-1].AddCommand(c)
		case instructions.Command:
			if len(stages) == 0 {
				if len(faults) == 0 { // a FROM that is wrong was complained of
					note(errors.New("no build stage in current context: only ARG may come before the first FROM"), n)
				}
				continue
			}
			stages[len(stages)-1].AddCommand(c)
		}
	}
	if len(faults) == 1 {
		return nil, faults[0]
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return stages, nil
}

// resolve expands what FROM says and finds out what it means.
func (f *File) resolve(stages []instructions.Stage) error {
	target := f.o.Target
	if target == "" {
		target = stages[len(stages)-1].Name
	}
	lex := shell.NewLex(f.escape)
	builtin := platformArgs(f.o, target)
	f.lintDefaults(stages, lex, builtin)
	var err error
	if f.global, err = globalArgs(builtin, lex, f.meta, f.o.Args); err != nil {
		return f.fault(err, nil)
	}
	for i, st := range stages {
		s := &Stage{Index: i, Name: st.Name, Named: st.Name != "", Lines: linesOf(st.Location), location: st.Location}
		if !s.Named {
			s.Name = "stage-" + strconv.Itoa(i)
		}
		if err := f.resolveFrom(s, st, lex); err != nil {
			return f.fault(err, st.Location)
		}
		for _, c := range st.Commands {
			s.commands = append(s.commands, command{Command: c})
		}
		f.Stages = append(f.Stages, s)
	}
	return f.checkReferences()
}

func (f *File) resolveFrom(s *Stage, st instructions.Stage, lex *shell.Lex) error {
	lint := f.lint.WithMergedConfigFromComments(st.Comments)
	base, err := lex.ProcessWordWithMatches(st.BaseName, f.global)
	if err != nil {
		return err
	}
	f.lintFromArgs(base.Unmatched, st.Location, lint)
	if base.Result == "" {
		return fmt.Errorf("base name (%s) should not be blank", st.BaseName)
	}
	if st.Platform != "" {
		p, err := lex.ProcessWordWithMatches(st.Platform, f.global)
		if err != nil {
			return err
		}
		f.lintFromArgs(p.Unmatched, st.Location, lint)
		f.lintPlatform(st, p, lint)
		if p.Result == "" {
			return fmt.Errorf("empty platform value from expression %s", st.Platform)
		}
		s.Platform = p.Result
	}
	switch earlier, found := f.stage(base.Result); {
	case s.Named && f.isContext(s.Name):
		s.Base = Source{Kind: Context, Name: s.Name}
	case found:
		s.Base = Source{Kind: Built, Stage: earlier}
	case base.Result == scratch:
		s.Base = Source{Kind: Scratch}
	case f.isContext(base.Result):
		s.Base = Source{Kind: Context, Name: base.Result}
	default:
		s.Base = Source{Kind: Image, Name: base.Result}
	}
	return nil
}

// Replaced says that an additional context of the stage's name stands in for
// all of it.
func (s *Stage) Replaced() bool {
	return s.Named && s.Base.Kind == Context && s.Base.Name == s.Name
}

func (f *File) isContext(name string) bool {
	return f.o.IsContext != nil && name != scratch && name != "context" && f.o.IsContext(name)
}

// stage finds one by name; the last of that name counts.
func (f *File) stage(name string) (*Stage, bool) {
	for i := len(f.Stages) - 1; i >= 0; i-- {
		if s := f.Stages[i]; s.Named && strings.EqualFold(s.Name, name) {
			return s, true
		}
	}
	return nil, false
}

// Target is the stage to build.
func (f *File) Target() (*Stage, error) {
	if f.o.Target == "" {
		return f.Stages[len(f.Stages)-1], nil
	}
	if s, ok := f.stage(f.o.Target); ok {
		return s, nil
	}
	if n, err := strconv.Atoi(f.o.Target); err == nil && n >= 0 && n < len(f.Stages) {
		return f.Stages[n], nil
	}
	var names []string
	for _, s := range f.Stages {
		if s.Named {
			names = append(names, s.Name)
		}
	}
	return nil, f.fault(suggestion(fmt.Errorf("target stage %q could not be found", f.o.Target), f.o.Target, names), nil)
}
