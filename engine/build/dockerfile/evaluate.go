package dockerfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// DefaultPath is the PATH of an image that sets none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Evaluate goes through a stage whose base is in the given state. It may be
// called once for each stage of a File: instructions are expanded in place.
func (f *File) Evaluate(s *Stage, base State) (Plan, error) {
	st := State{Image: cloneFile(base.Image), env: base.env.clone(), args: slices.Clone(base.args), workdirSet: base.workdirSet}
	if st.Image.OS == "" {
		st.Image.Platform = f.o.Platform
	}
	st.Image.Created = nil
	e := &stageEval{State: &st, f: f, stage: s}
	for _, line := range st.Image.Config.Env {
		k, v, _ := strings.Cut(line, "=")
		st.env.set(k, v)
	}
	if _, ok := st.env.Get("PATH"); !ok {
		st.Image.Config.Env = append(st.Image.Config.Env, "PATH="+DefaultPath)
		st.env.set("PATH", DefaultPath)
	}
	if s.Replaced() {
		return Plan{State: st}, nil
	}
	triggers := st.Image.Config.OnBuild
	st.Image.Config.OnBuild = nil
	if err := e.trigger(triggers); err != nil {
		return Plan{}, f.fault(err, s.location)
	}
	for _, c := range e.cmds {
		if err := e.instruction(c); err != nil {
			return Plan{}, f.fault(err, c.Location())
		}
	}
	return Plan{Steps: e.steps, State: st}, nil
}

// trigger puts the base's ONBUILD instructions before the stage's own.
func (e *stageEval) trigger(triggers []string) error {
	for _, line := range triggers {
		ast, err := parser.Parse(strings.NewReader(line))
		if err != nil {
			return fmt.Errorf("ONBUILD %s of the base image: %w", line, err)
		}
		if len(ast.AST.Children) != 1 {
			return fmt.Errorf("ONBUILD %s of the base image: not one instruction", line)
		}
		node := ast.AST.Children[0]
		node.StartLine, node.EndLine = e.stage.Lines.First, e.stage.Lines.Last
		c, err := instructions.ParseCommand(node)
		if err == nil {
			_, err = e.f.sources(e.stage, c)
		}
		if err != nil {
			return fmt.Errorf("ONBUILD %s of the base image: %w", line, unplaced(err))
		}
		e.cmds = append(e.cmds, command{c, true})
	}
	e.cmds = append(e.cmds, e.stage.commands...)
	return nil
}

func unplaced(err error) error {
	var l *parser.LocationError
	if errors.As(err, &l) {
		return l.Unwrap()
	}
	return err
}

// expand replaces the variables of an instruction. ARG does it by itself: a
// value given for the build makes its default not matter.
func (e *stageEval) expand(c instructions.Command, lint *linter.Linter) error {
	if _, ok := c.(*instructions.ArgCommand); ok {
		return nil
	}
	lex := e.lex()
	if x, ok := c.(instructions.SupportsSingleWordExpansion); ok {
		if err := x.Expand(e.expander(lex, c, lint)); err != nil {
			return err
		}
	}
	if x, ok := c.(instructions.SupportsSingleWordExpansionRaw); ok {
		raw := shell.NewLex('\\')
		raw.SkipProcessQuotes = true
		return x.ExpandRaw(e.expander(raw, c, lint))
	}
	return nil
}

func (e *stageEval) lex() *shell.Lex { return shell.NewLex(e.f.escape) }

func (e *stageEval) expander(lex *shell.Lex, c instructions.Command, lint *linter.Linter) instructions.SingleWordExpander {
	return func(word string) (string, error) {
		out, unmatched, err := lex.ProcessWord(word, e.env)
		e.lintUnmatched(unmatched, c.Location(), lint)
		return out, err
	}
}

func (e *stageEval) instruction(cmd command) error {
	lint := e.f.lint.WithMergedConfigFromComments(cmd.Comments())
	if err := e.expand(cmd.Command, lint); err != nil {
		return err
	}
	switch c := cmd.Command.(type) {
	case *instructions.RunCommand:
		return e.run(c, cmd)
	case *instructions.CopyCommand:
		src, err := e.copySource(c)
		if err != nil {
			return err
		}
		return e.copy(cmd, c.SourcesAndDest, Copy{
			From: src, Chown: c.Chown, Chmod: c.Chmod, Link: c.Link, Parents: c.Parents, Exclude: c.ExcludePatterns,
		}, lint)
	case *instructions.AddCommand:
		return e.copy(cmd, c.SourcesAndDest, Copy{
			Add: true, From: Source{Kind: Context}, Chown: c.Chown, Chmod: c.Chmod, Link: c.Link, Exclude: c.ExcludePatterns,
			KeepGit: c.KeepGitDir, Checksum: c.Checksum, Unpack: c.Unpack,
		}, lint)
	case *instructions.WorkdirCommand:
		e.workdir(c, cmd, lint)
	case *instructions.EnvCommand:
		e.setEnv(c, lint)
	case *instructions.ArgCommand:
		return e.arg(c, lint)
	default:
		return e.metadata(cmd.Command, lint)
	}
	return nil
}

func (e *stageEval) copySource(c *instructions.CopyCommand) (Source, error) {
	if c.From == "" {
		return Source{Kind: Context}, nil
	}
	return e.f.from(e.stage, c.From)
}

// history notes an instruction; files says whether a layer belongs to it.
func (e *stageEval) history(files bool, format string, args ...any) int {
	e.Image.History = append(e.Image.History, ocispec.History{
		CreatedBy: fmt.Sprintf(format, args...), Comment: historyComment, EmptyLayer: !files,
	})
	return len(e.Image.History) - 1
}

const historyComment = "devstack.dockerfile.v1"

func (e *stageEval) step(cmd command, s Step) {
	s.Lines = linesOf(cmd.Location())
	s.OnBuild = cmd.onBuild
	if s.OnBuild {
		s.Name = "ONBUILD " + s.Name
	}
	e.steps = append(e.steps, s)
}

// title is the instruction as written, with its name in capitals and variables
// replaced where that can be done; what an instruction does to its words must
// not keep it from being shown.
func (e *stageEval) title(c instructions.Command, raw bool) string {
	code := c.Name()
	if s, ok := c.(fmt.Stringer); ok {
		code = s.String()
	}
	lex := e.lex()
	if raw {
		lex.RawQuotes, lex.RawEscapes, lex.SkipUnsetEnv = true, true, true
	}
	if out, _, err := lex.ProcessWord(code, e.env); err == nil {
		code = out
	}
	word, rest, _ := strings.Cut(code, " ")
	return strings.ToUpper(word) + " " + rest
}
