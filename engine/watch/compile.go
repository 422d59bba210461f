package watch

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"devstack/compose"
	"devstack/engine/build/ignore"
)

// Compile makes rules of what the project declares in develop.watch and asks
// to derive in x-devstack.watch. Findings come by service.
func Compile(p *compose.Project, o Options) (*Rules, []Finding) {
	c := &compiler{p: p, o: o}
	names := p.ServiceNames()
	for _, name := range names {
		if len(o.Services) > 0 && !slices.Contains(o.Services, name) {
			continue
		}
		s := p.Services[name]
		c.service(name, &s)
	}
	models := modelSet{files: Model(p)}
	for _, f := range o.Model {
		models.add(f.Path, f.Kind, "")
		for _, s := range f.Services {
			models.add(f.Path, f.Kind, s)
		}
	}
	r := &Rules{rules: c.rules, model: models.files, links: newLinks(o.EvalSymlinks)}
	r.links.part(r.scopes())
	return r, c.findings
}

type compiler struct {
	p        *compose.Project
	o        Options
	rules    []*Rule
	findings []Finding
}

// service compiles the rules of one service.
func (c *compiler) service(name string, s *compose.Service) {
	shared := c.dockerIgnore(name, s)
	n := 0
	if s.Develop != nil {
		for i, w := range s.Develop.Watch {
			r := &Rule{
				Service: name, Index: i, Path: w.Path, Action: w.Action, Target: w.Target, Exec: w.Exec,
				Pos: c.p.Pos("services", name, "develop", "watch", strconv.Itoa(i)),
			}
			r.perm = c.perm(s, nil)
			c.add(r, s, shared, w.Include, w.Ignore)
		}
		n = len(s.Develop.Watch)
	}
	for i, d := range c.derived(name, s) {
		r := &Rule{
			Service: name, Index: n + i, Path: d.Path, Action: d.Action, Target: d.Target, Derived: d.From,
			Pos: c.p.Pos("services", name, compose.ExtensionKey, "watch"),
		}
		r.perm = c.perm(s, d.Mode)
		c.add(r, s, shared, d.Include, d.Ignore)
	}
}

// perm gives what is synced the modes that a build would give it: those of the
// clone do not count, see compose.OwnBuild. What a build has set (COPY --chmod,
// RUN chmod) stays; fixed is what COPY --chmod says, for new files.
func (c *compiler) perm(s *compose.Service, fixed *uint32) Perm {
	if own, err := s.OwnBuild(); s.Build == nil || err != nil || own.KeepModes && fixed == nil {
		return nil
	}
	return func(host, there uint32, dir bool) uint32 {
		runs := host&0o100 != 0 && !dir
		switch {
		case there != 0 && runs && there&0o100 == 0:
			return there | there&0o444>>2
		case there != 0:
			return there
		case fixed != nil:
			return *fixed
		case dir || runs:
			return 0o755
		}
		return 0o644
	}
}

// add finishes a rule; one that cannot work becomes a finding.
func (c *compiler) add(r *Rule, s *compose.Service, shared []*patterns, include, ignores []string) {
	fatal := func(hint, format string, args ...any) {
		c.findings = append(c.findings, Finding{Pos: r.Pos, Service: r.Service, Message: fmt.Sprintf(format, args...), Hint: hint, Fatal: true})
	}
	switch r.Action {
	case Sync, SyncRestart, SyncExec:
		if r.Target == "" {
			fatal("add target: the path in the container", "service %q: a watch rule with action %s needs a target", r.Service, r.Action)
			return
		}
		if !path.IsAbs(r.Target) {
			fatal("write target: /"+r.Target, "service %q: target %q of a watch rule is not absolute", r.Service, r.Target)
			return
		}
		r.Target = path.Clean(r.Target)
	case Rebuild:
		if s.Build == nil {
			fatal("add build, or use sync or restart", "service %q has no build: its watch rule with action rebuild can never run", r.Service)
			return
		}
		r.Target = ""
	case Restart:
		r.Target = ""
	default:
		fatal("", "service %q: unknown watch action %q", r.Service, r.Action)
		return
	}
	if r.Action == SyncExec && (r.Exec == nil || len(r.Exec.Command) == 0) {
		fatal("add exec: {command: ...}", "service %q: a watch rule with action sync+exec needs exec.command", r.Service)
		return
	}
	if err := c.scope(r, shared, include, ignores); err != nil {
		fatal("", "service %q: %v", r.Service, err)
		return
	}
	if r.Target != "" {
		r.Bound = bound(s, r.scope.base, r.Target)
	}
	if r.Bound != "" && r.Action == Sync && r.Derived == "" {
		c.findings = append(c.findings, Finding{
			Pos: r.Pos, Service: r.Service,
			Message: fmt.Sprintf("service %q: the bind mount %s shows %s to the container already: there is nothing to sync", r.Service, r.Bound, r.Path),
			Hint:    "remove one of the two",
		})
	}
	c.rules = append(c.rules, r)
}

// scope compiles what the rule is about.
func (c *compiler) scope(r *Rule, shared []*patterns, include, ignores []string) error {
	if !filepath.IsAbs(r.Path) {
		return fmt.Errorf("path %q of a watch rule is not absolute", r.Path)
	}
	r.Path = filepath.Clean(r.Path)
	s := &r.scope
	s.base = r.Path
	info, err := c.stat(r.Path)
	if err != nil {
		base, glob := splitGlob(r.Path)
		if s.base = base; glob != "" {
			m, err := ignore.New([]string{glob})
			if err != nil {
				return fmt.Errorf("path %s: %w", r.Path, err)
			}
			s.glob = &lookup{m: m}
			if !strings.Contains(glob, "**") {
				s.parts = strings.Split(glob, "/")
			}
		}
	}
	s.file = err == nil && !info.IsDir()
	root := s.base
	if s.file {
		root = filepath.Dir(root)
	}
	if s.include, err = parsePatterns("include", root, include); err != nil {
		return fmt.Errorf("include: %w", err)
	}
	own, err := parsePatterns("the rule's ignore", root, ignores)
	if err != nil {
		return fmt.Errorf("ignore: %w", err)
	}
	s.ignores = shared
	if own != nil {
		s.ignores = append(slices.Clip(s.ignores), own)
	}
	return nil
}

func (c *compiler) stat(path string) (fs.FileInfo, error) {
	if c.o.Stat == nil {
		return nil, fs.ErrNotExist
	}
	return c.o.Stat(path)
}

// splitGlob parts a path before the first element with a wildcard.
func splitGlob(p string) (base, glob string) {
	i := strings.IndexAny(p, "*?[")
	if i < 0 {
		return p, ""
	}
	i = strings.LastIndexByte(p[:i], filepath.Separator)
	return cmp.Or(p[:i], string(filepath.Separator)), filepath.ToSlash(p[i+1:])
}

// target is where a path goes in the container.
func (x *Rule) target(p string) string {
	if !x.Syncs() {
		return ""
	}
	rel, ok := Below(x.scope.base, p)
	if !ok {
		return ""
	}
	return path.Join(x.Target, rel)
}

// dockerIgnore are the patterns of the build's .dockerignore, if any: once
// for the context as it is named, and once for where it really is, since the
// paths of rules may be either.
func (c *compiler) dockerIgnore(name string, s *compose.Service) []*patterns {
	b := s.Build
	if b == nil || !filepath.IsAbs(b.Context) || c.o.ReadFile == nil {
		return nil
	}
	roots := []string{filepath.Clean(b.Context)}
	if c.o.EvalSymlinks != nil {
		if real, err := c.o.EvalSymlinks(b.Context); err == nil && real != roots[0] {
			roots = append(roots, real)
		}
	}
	for _, file := range ignoreFiles(b) {
		text, err := c.o.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var out []*patterns
		for _, root := range roots {
			var p *patterns
			if err == nil {
				p, err = parseIgnoreFile(file, root, text)
			}
			if err != nil {
				c.findings = append(c.findings, Finding{Service: name, Message: fmt.Sprintf("service %q: %v", name, err), Hint: "its patterns are not taken into account"})
				return nil
			}
			if p != nil {
				out = append(out, p)
			}
		}
		return out
	}
	return nil
}

// bound finds the bind mount that shows a host path at its target.
func bound(s *compose.Service, source, target string) string {
	for _, m := range s.Volumes {
		if m.Type != compose.MountBind {
			continue
		}
		rel, ok := Below(filepath.Clean(m.Source), source)
		if ok && path.Join(m.Target, rel) == target {
			return m.Source + ":" + m.Target
		}
	}
	return ""
}
