package load

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/schema"
)

// Explain tells every place that sets a value of the project (a path such as
// services.web.image) or a variable, which of them won, and why.
func Explain(ctx context.Context, o Options, subject string) (Explanation, []Diagnostic, error) {
	o.Render, o.NoConsistency = true, true // what is wrong wants explaining most
	ld := newLoader(ctx, o)
	ld.trace = newTrace()
	m, paths, err := ld.model(ctx)
	if err != nil {
		return Explanation{}, tidy(ld.warnings), err
	}
	p, err := ld.project(m, paths)
	if err != nil {
		return Explanation{}, tidy(ld.warnings), err
	}
	subject = strings.NewReplacer("[", ".", "]", "").Replace(subject) // as messages name entries of lists
	if !strings.Contains(subject, ".") && schema.Project.Lookup(subject) == nil && !strings.HasPrefix(subject, "x-") {
		return ld.explainVariable(subject), tidy(ld.warnings), nil
	}
	x, err := ld.explainPath(p, subject)
	return x, tidy(ld.warnings), err
}

// explainVariable tells where a variable of interpolation comes from.
func (ld *loader) explainVariable(name string) Explanation {
	x := Explanation{Subject: name}
	var own []Origin
	for _, o := range ld.trace.vars[name] {
		if o.From == fromIncluded { // only the files of that include see it
			x.Origins = append(x.Origins, o)
		} else {
			own = append(own, o)
		}
	}
	included, files := len(x.Origins), len(own)
	x.Origins = append(x.Origins, own...)
	inherited := ""
	found := false
	for _, kv := range ld.opts.Environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			inherited, found = v, true
		}
	}
	if found {
		x.Origins = append(x.Origins, Origin{From: "environment", Value: inherited})
	}
	x.Value, x.Set = ld.lookup(name)
	switch {
	case !x.Set && included > 0:
		x.Why = "the project does not set it; only the files of an include see what its environment file says"
	case !x.Set:
		x.Why = "it is set nowhere and taken as empty, unless the place that uses it has a default"
	case found && files > 0:
		x.Why = "the environment wins over environment files"
	case found:
		x.Why = "the environment has it"
	case name == "COMPOSE_PROJECT_NAME" && files == 0:
		x.Why = "it is the project's name"
	case files > 1:
		x.Why = "of environment files the last one wins"
	case files > 0 && included > 0:
		x.Why = "the project's environment file wins over those of includes"
	default:
		x.Why = "no environment variable has that name"
	}
	if len(x.Origins) > included {
		x.Origins[len(x.Origins)-1].Wins = true
	}
	return x
}

// explainPath tells where a value of the project comes from.
func (ld *loader) explainPath(p *compose.Project, path string) (Explanation, error) {
	x := Explanation{Subject: path}
	x.Value, x.Set = finalValue(p, path)
	seen := map[place]bool{}
	merged := false
	add := func(src *source, n *node, from string) {
		if n == nil || seen[n.place] {
			return
		}
		seen[n.place] = true
		merged = merged || n.kind == mapKind || n.kind == listKind
		x.Origins = append(x.Origins, Origin{Pos: n.pos(), From: from, Value: n.brief(), Raw: ld.trace.raw[n.place]})
	}
	collect := func(path string) {
		for _, d := range ld.trace.docs {
			for _, base := range ld.bases(d, path) {
				add(base.src, base.node, base.from)
			}
			add(d.src, d.node.at(path), d.from)
		}
	}
	collect(path)
	ld.fromEnvFiles(p, path, &x)
	within := path // part of a short form, as a port's number, has no place of its own
	for x.Set && len(x.Origins) == 0 && strings.Count(within, ".") > 2 {
		if pos, ok := p.Positions[within]; ok { // an entry of a list
			value, _ := finalValue(p, within)
			x.Origins = append(x.Origins, Origin{Pos: pos, From: ld.trace.from(pos.File), Value: clip(value)})
			break
		}
		within = within[:strings.LastIndexByte(within, '.')]
		collect(within)
	}
	if !x.Set && len(x.Origins) == 0 {
		return x, fmt.Errorf("%s is not set, nor a variable%s", path, didYouMean(p, path))
	}
	x.Why = whyPath(x, merged)
	switch {
	case path == "name" && len(x.Origins) == 0:
		x.Why = "no file sets it: it comes from -p, COMPOSE_PROJECT_NAME or the directory's name"
	case within != path && len(x.Origins) > 0:
		x.Why = "it is part of " + within + ", or follows from it"
	}
	if service, _, _ := strings.Cut(strings.TrimPrefix(path, "services."), "."); len(p.Disabled[service].Profiles) > 0 {
		x.Why += "; the service's profiles are not active"
	}
	if !merged {
		ld.markWinner(p, path, &x)
	}
	for _, o := range x.Origins {
		if o.Wins && o.Raw != "" {
			for _, name := range variablesOf(o.Raw) {
				x.Variables = append(x.Variables, ld.explainVariable(name))
			}
		}
	}
	return x, nil
}

// bases are what services of a document take from others at path, the farthest
// first.
func (ld *loader) bases(d traced, path string) []traced {
	rest, ok := strings.CutPrefix(path, "services.")
	if !ok {
		return nil
	}
	var out []traced
	for _, e := range d.node.get("services").entries() {
		below, of := strings.CutPrefix(rest, e.key)
		if !of || below != "" && below[0] != '.' {
			continue
		}
		here := link{d.src.path, e.key}
		for range len(ld.trace.extends) + 1 {
			base, ok := ld.trace.extends[here]
			if !ok {
				break
			}
			found := base
			found.node = base.node.at(strings.TrimPrefix(below, "."))
			out = append(out, found)
			here = link{base.src.path, base.service}
		}
	}
	slices.Reverse(out)
	return out
}

func (n *node) entries() []entry {
	if n == nil {
		return nil
	}
	return n.keys
}

// fromEnvFiles adds what the env_file entries of a service say about a
// variable of its environment; they lie below environment.
func (ld *loader) fromEnvFiles(p *compose.Project, path string, x *Explanation) {
	rest, _ := strings.CutPrefix(path, "services.")
	service, variable, ok := strings.Cut(rest, ".environment.")
	if !ok {
		return
	}
	var found []Origin
	for _, f := range p.Services[service].EnvFile {
		found = append(found, ld.trace.vars[envFileKey(f.Path, variable)]...)
	}
	x.Origins = append(found, x.Origins...)
}

// envFileKey keeps variables of containers apart from those of interpolation.
func envFileKey(path, variable string) string { return path + "\x00" + variable }

// markWinner marks the origin whose place the project has on record, else the
// last one.
func (ld *loader) markWinner(p *compose.Project, path string, x *Explanation) {
	if len(x.Origins) == 0 {
		return
	}
	if pos, ok := p.Positions[path]; ok {
		for i := range x.Origins {
			if x.Origins[i].Pos == pos {
				x.Origins[i].Wins = true
				return
			}
		}
	}
	if x.Set {
		x.Origins[len(x.Origins)-1].Wins = true
	}
}

func whyPath(x Explanation, merged bool) string {
	kinds := map[string]bool{}
	for _, o := range x.Origins {
		kinds[o.From] = true
	}
	switch {
	case len(x.Origins) == 0:
		return "no file sets it: it is a default, or follows from something else"
	case !x.Set:
		return "it was taken away again (!reset)"
	case len(x.Origins) == 1:
		return "nothing else sets it"
	case merged:
		return "the places are merged: mappings key by key, lists one after the other"
	case kinds[fromEnvFile] && len(kinds) > 1:
		return "environment wins over env_file"
	case kinds[fromExtends]:
		return "a service wins over what it extends, and a later file over an earlier one"
	case kinds[fromInclude]:
		return "a file wins over what it includes, and a later file over an earlier one"
	}
	return "a later file wins over an earlier one"
}

const (
	fromProject  = "project file"
	fromInclude  = "include"
	fromExtends  = "extends"
	fromEnvFile  = "env_file"
	fromIncluded = "environment file of an include"
)

// variablesOf are the variables that a text names, in their order.
func variablesOf(text string) []string {
	var out []string
	variablesIn(text, func(v Variable) {
		if !slices.Contains(out, v.Name) {
			out = append(out, v.Name)
		}
	})
	return out
}

// finalValue is what the project has at path, as JSON below the top.
func finalValue(p *compose.Project, path string) (string, bool) {
	all := *p
	all.Services = maps.Clone(p.Disabled)
	if all.Services == nil {
		all.Services = map[string]compose.Service{}
	}
	maps.Copy(all.Services, p.Services)
	data, err := MarshalJSON(&all)
	if err != nil {
		return "", false
	}
	var top any
	if json.Unmarshal(data, &top) != nil {
		return "", false
	}
	v, ok := descend(top, path)
	if !ok {
		return "", false
	}
	if s, text := v.(string); text {
		return s, true
	}
	out, err := json.Marshal(v)
	return string(out), err == nil
}

// descend follows a path through decoded JSON; keys may have dots.
func descend(v any, path string) (any, bool) {
	if path == "" {
		return v, true
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			rest, ok := strings.CutPrefix(path, k)
			if !ok || rest != "" && rest[0] != '.' {
				continue
			}
			if found, ok := descend(e, strings.TrimPrefix(rest, ".")); ok {
				return found, true
			}
		}
	case []any:
		first, rest, _ := strings.Cut(path, ".")
		var i int
		if _, err := fmt.Sscanf(first, "%d", &i); err == nil && i >= 0 && i < len(v) {
			return descend(v[i], rest)
		}
	}
	return nil, false
}

// brief shows a value on one line.
func (n *node) brief() string {
	switch {
	case n.tag == resetTag:
		return "!reset"
	case n.kind == nullKind:
		return "null"
	case n.kind == mapKind:
		parts := make([]string, len(n.keys))
		for i, e := range n.keys {
			parts[i] = e.key + ": " + e.val.brief()
		}
		return clip(mark(n) + "{" + strings.Join(parts, ", ") + "}")
	case n.kind == listKind:
		parts := make([]string, len(n.list))
		for i, e := range n.list {
			parts[i] = e.brief()
		}
		return clip(mark(n) + "[" + strings.Join(parts, ", ") + "]")
	}
	return mark(n) + n.text
}

func mark(n *node) string {
	if n.tag == overrideTag {
		return "!override "
	}
	return ""
}

// didYouMean suggests a path that looks like a wrong one.
func didYouMean(p *compose.Project, path string) string {
	paths := make([]string, 0, len(p.Positions))
	for known := range p.Positions {
		paths = append(paths, known)
	}
	slices.Sort(paths)
	if near := closest(path, paths); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}
