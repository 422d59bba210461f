package watch

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Explanation says what a path triggers and why, or why nothing.
type Explanation struct {
	Path  string
	Model *ModelFile // the path is a file of the model
	Rules []RuleVerdict
}

// RuleVerdict is what one rule makes of a path.
type RuleVerdict struct {
	Rule    *Rule
	Matches bool
	Target  string
	Why     string
}

// Explain looks at every rule whose path holds the given one; where there is
// none, at no rule. The path may also lead there by other links than a rule's.
func (r *Rules) Explain(path string) Explanation {
	e := r.explain(path)
	if e.Model != nil || len(e.Rules) > 0 {
		return e
	}
	real := r.links.resolve(path)
	for _, s := range r.scopes() {
		if rel, ok := Below(r.links.resolve(s.base), real); ok {
			return r.explain(filepath.Join(s.base, filepath.FromSlash(rel)))
		}
	}
	return e
}

func (r *Rules) explain(path string) Explanation {
	e := Explanation{Path: path}
	if i, found := findModel(r.model, path); found {
		e.Model = &r.model[i]
	}
	for _, x := range r.rules {
		v, set := x.scope.judge(path)
		if v == outside {
			continue
		}
		e.Rules = append(e.Rules, RuleVerdict{Rule: x, Matches: v == matched, Target: x.target(path), Why: x.why(v, set, path)})
	}
	return e
}

func (x *Rule) why(v verdict, set *patterns, path string) string {
	rel, _ := Below(x.scope.base, path)
	switch v {
	case notGlobbed:
		return "does not match " + x.Path
	case notIncluded:
		return "is matched by none of the rule's include patterns: " + strings.Join(x.scope.include.lines, ", ")
	case temporary:
		part := ephemeralPart(rel)
		if part == filepath.Base(rel) {
			return "is what git or an editor keeps for itself"
		}
		return "lies in " + part + ", which git and editors keep for themselves"
	case muted:
		return "is part of a feedback loop: the service writes it itself"
	case ignored:
		rel, _ := Below(set.root, path)
		return fmt.Sprintf("is ignored by %s: %s", set.name, set.cause(rel))
	}
	why := "is " + x.Path
	switch {
	case x.scope.glob != nil:
		why = "matches " + x.Path
	case rel != "":
		why = "is in " + x.Path
	}
	if x.Bound != "" && x.Target != "" {
		why += "; nothing is copied, because the bind mount " + x.Bound + " shows it to the container"
	}
	return why
}

// Name is how messages call the rule: where it is from and what it does.
func (x *Rule) Name() string {
	from := fmt.Sprintf("develop.watch[%d]", x.Index)
	if x.Derived != "" {
		from = x.Derived
	} else if x.Pos.IsValid() {
		from = x.Pos.String()
	}
	return x.Service + ": " + x.Action + " (" + from + ")"
}

// String is the explanation as `watch --explain` prints it.
func (e Explanation) String() string {
	var b strings.Builder
	b.WriteString(Printable(e.Path) + "\n")
	if e.Model != nil {
		article := "a"
		if strings.ContainsRune("aeiou", rune(e.Model.Kind[0])) {
			article = "an"
		}
		fmt.Fprintf(&b, "  is %s %s: the project is loaded again and the difference applied\n", article, e.Model.Kind)
	}
	for _, v := range e.Rules {
		if v.Matches {
			fmt.Fprintf(&b, "  %s\n    because it %s\n", v.Rule.Name(), v.Why)
			if v.Rule.Syncs() {
				fmt.Fprintf(&b, "    copied to %s\n", Printable(v.Target))
			}
			continue
		}
		fmt.Fprintf(&b, "  not %s\n    because it %s\n", v.Rule.Name(), v.Why)
	}
	if e.Model == nil && len(e.Rules) == 0 {
		b.WriteString("  triggers nothing: no rule's path holds it\n")
	}
	return b.String()
}
