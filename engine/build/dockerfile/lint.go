package dockerfile

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/util/suggest"

	"devstack/engine/image"
)

// The rules that BuildKit keeps next to its solver, with its words.

// openLinter reads "# check=", which BUILDKIT_DOCKERFILE_CHECK overrides.
func (f *File) openLinter(src []byte) error {
	_, options, at, found := parser.ParseDirective("check", src)
	if v, ok := f.o.Args["BUILDKIT_DOCKERFILE_CHECK"]; ok {
		options, found, at = v, true, nil
	}
	cfg := &linter.Config{}
	if found {
		var err error
		if cfg, err = linter.ParseLintOptions(options); err != nil {
			return f.fault(err, at)
		}
	}
	cfg.Warn = func(rule, _, url, msg string, at []parser.Range) {
		if f.found == nil {
			f.found = at
		}
		if f.o.Warn == nil {
			return
		}
		f.o.Warn(Warning{Rule: rule, URL: url, File: f.Name, Lines: linesOf(at), Message: msg, source: f.source})
	}
	f.lint = linter.New(cfg)
	return nil
}

// Lint is a fault if warnings were found that "# check=error=true" makes one.
func (f *File) Lint() error {
	if err := f.lint.Error(); err != nil {
		return f.fault(err, f.found)
	}
	return nil
}

func (f *File) lintStages(stages []instructions.Stage) {
	seen := map[string]bool{}
	lower, upper := 0, 0
	count := func(word string) {
		switch word {
		case strings.ToLower(word):
			lower++
		case strings.ToUpper(word):
			upper++
		}
	}
	for _, s := range stages {
		if s.Name == scratch || s.Name == "context" {
			f.lint.Run(&linter.RuleReservedStageName, s.Location, linter.RuleReservedStageName.Format(s.Name))
		}
		if s.Name != "" && seen[s.Name] {
			f.lint.Run(&linter.RuleDuplicateStageName, s.Location, linter.RuleDuplicateStageName.Format(s.Name))
		}
		seen[s.Name] = true
		count(s.OrigCmd)
		for _, c := range s.Commands {
			count(c.Name())
		}
	}
	check := func(word string, at []parser.Range) {
		want, right := "uppercase", strings.ToUpper(word)
		if lower > upper {
			want, right = "lowercase", strings.ToLower(word)
		}
		if word != right {
			f.lint.Run(&linter.RuleConsistentInstructionCasing, at, linter.RuleConsistentInstructionCasing.Format(word, want))
		}
	}
	for _, s := range stages {
		check(s.OrigCmd, s.Location)
		for _, c := range s.Commands {
			check(c.Name(), c.Location())
		}
	}
}

// lintDefaults says where FROM means nothing unless arguments are given.
func (f *File) lintDefaults(stages []instructions.Stage, lex *shell.Lex, builtin *env) {
	defaults, err := globalArgs(builtin, lex, f.meta, nil)
	if err != nil {
		return
	}
	for _, s := range stages {
		name, err := lex.ProcessWordWithMatches(s.BaseName, defaults)
		if err != nil {
			return
		}
		if _, err := image.ParseReference(name.Result); err != nil {
			f.lint.Run(&linter.RuleInvalidDefaultArgInFrom, s.Location, linter.RuleInvalidDefaultArgInFrom.Format(s.BaseName))
		}
	}
}

func (f *File) lintFromArgs(unmatched map[string]struct{}, at []parser.Range, lint *linter.Linter) {
	known := f.global.Keys()
	for _, m := range f.meta {
		for _, kv := range m.Args {
			known = append(known, kv.Key)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unmatched)) {
		if !slices.Contains(known, name) {
			near, _ := suggest.Search(name, known, true)
			lint.Run(&linter.RuleUndefinedArgInFrom, at, linter.RuleUndefinedArgInFrom.Format(name, near))
		}
	}
}

func (f *File) lintPlatform(st instructions.Stage, p shell.ProcessWordResult, lint *linter.Linter) {
	if _, ok := p.Matched["TARGETPLATFORM"]; ok && len(p.Matched) == 1 && len(p.Unmatched) == 0 {
		if v, _ := f.global.Get("TARGETPLATFORM"); v == p.Result {
			lint.Run(&linter.RuleRedundantTargetPlatform, st.Location, linter.RuleRedundantTargetPlatform.Format(st.Platform))
		}
	}
	if len(p.Matched)+len(p.Unmatched) > 0 {
		return
	}
	parsed, err := image.ParsePlatform(p.Result)
	if err != nil || strings.Contains(st.Name, parsed.OS) || strings.Contains(st.Name, parsed.Architecture) {
		return
	}
	lint.Run(&linter.RuleFromPlatformFlagConstDisallowed, st.Location, linter.RuleFromPlatformFlagConstDisallowed.Format(p.Result))
}

func (e *stageEval) lintUnmatched(unmatched map[string]struct{}, at []parser.Range, lint *linter.Linter) {
	for _, name := range slices.Sorted(maps.Keys(unmatched)) {
		declared := slices.ContainsFunc(e.args, func(a instructions.KeyValuePairOptional) bool { return a.Key == name })
		if !declared {
			near, _ := suggest.Search(name, e.env.Keys(), true)
			lint.Run(&linter.RuleUndefinedVar, at, linter.RuleUndefinedVar.Format(name, near))
		}
	}
}

func (e *stageEval) lintIgnored(cmd command, c *Copy, lint *linter.Linter) {
	if e.f.o.Ignored == nil {
		return
	}
	name := "Copy"
	if c.Add {
		name = "Add"
	}
	for _, src := range c.Sources {
		if src = strings.TrimPrefix(path.Clean(src), "/"); src != "." && src != "" && !IsURL(src) && e.f.o.Ignored(src) {
			lint.Run(&linter.RuleCopyIgnoredFile, cmd.Location(), linter.RuleCopyIgnoredFile.Format(name, src))
		}
	}
}

// lintOnce marks the earlier one of two that exclude each other.
func lintOnce(c instructions.Command, t *tracker, lint *linter.Linter) {
	if t.set {
		lint.Run(&linter.RuleMultipleInstructionsDisallowed, t.at, linter.RuleMultipleInstructionsDisallowed.Format(c.Name()))
	}
	t.at, t.set = c.Location(), true
}

func lintSecret(instruction, key string, at []parser.Range, lint *linter.Linter) {
	const edges = `(?i)(?:_|^)(?:`
	secret := regexp.MustCompile(edges + `apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)`)
	if !secret.MatchString(key) || regexp.MustCompile(edges+`public|file|version)(?:_|$)`).MatchString(key) {
		return
	}
	lint.Run(&linter.RuleSecretsUsedInArgOrEnv, at, linter.RuleSecretsUsedInArgOrEnv.Format(instruction, key))
}
