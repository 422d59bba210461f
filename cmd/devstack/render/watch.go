package render

import (
	"fmt"
	"strings"
	"time"

	"devstack/engine/api"
)

// Watch is a report of a watch as lines: what changed, which service, which
// action, how long it took. "" where it is not worth one.
func Watch(r api.WatchReport, style Style) string {
	mark := func(sgr, s string) string { return style.paint(sgr, s) }
	var b strings.Builder
	b.WriteString(mark(cyan, "watch") + " ")
	subject := watchSubject(r)
	switch r.Kind {
	case api.WatchChanged:
		if r.Action != "rebuild" && r.Action != "reload" {
			return "" // done before one could read it
		}
		fmt.Fprintf(&b, "%s: %s", subject, watchVerb(r.Action, false))
	case api.WatchDone:
		fmt.Fprintf(&b, "%s: %s", subject, mark(green, watchVerb(r.Action, true)))
		if r.Took > 0 {
			fmt.Fprintf(&b, " in %s", Took(time.Duration(r.Took)))
		}
	case api.WatchFailed:
		fmt.Fprintf(&b, "%s: %s", subject, mark(red, r.Action+" failed"))
		if r.Error != nil {
			b.WriteString(": " + r.Error.Message)
		}
	default:
		if r.Service != "" && r.Kind == api.WatchNotice {
			b.WriteString(r.Service + ": ")
		}
		b.WriteString(indented(r.Text))
		b.WriteByte('\n')
		return b.String()
	}
	if r.Text != "" {
		b.WriteString(" (" + indented(r.Text) + ")")
	}
	b.WriteByte('\n')
	if r.Error != nil {
		if r.Error.Hint != "" {
			b.WriteString("  hint: " + r.Error.Hint + "\n")
		}
		for _, line := range r.Error.Detail {
			b.WriteString("  " + line + "\n")
		}
		b.WriteString("  the next change tries again\n")
	}
	return b.String()
}

// watchSubject is "src/app.py, src/db.py and 3 more -> web".
func watchSubject(r api.WatchReport) string {
	what := strings.Join(r.Paths, ", ")
	if r.More > 0 {
		what += fmt.Sprintf(" and %d more", r.More)
	}
	if what == "" {
		what = r.Cause
	}
	if r.Service != "" {
		what += " -> " + r.Service
	}
	return what
}

func watchVerb(action string, done bool) string {
	verbs := map[string][2]string{
		"sync": {"sync", "synced"}, "restart": {"restart", "restarted"}, "rebuild": {"rebuild", "rebuilt"},
		"sync+restart": {"sync and restart", "synced and restarted"}, "sync+exec": {"sync and execute", "synced and executed"},
		"reload": {"reload", "reloaded"},
	}
	v, ok := verbs[action]
	if !ok {
		return action
	}
	if done {
		return v[1]
	}
	return v[0]
}

// indented puts further lines under the first.
func indented(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }

// Took is a duration in the precision that a reader cares for.
func Took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
