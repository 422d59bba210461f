package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"devstack/compose/load"
)

// printExplanation says where a value of the project, or a variable, comes
// from.
func (e *env) printExplanation(ctx context.Context, o *configOptions, subject string) error {
	x, warnings, err := load.Explain(ctx, o.load(ctx, e), subject)
	e.remark(warnings)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	writeExplanation(&b, x, "")
	return o.emit(e, b.Bytes())
}

// writeExplanation prints:
//
//	services.web.image = nginx:2
//	    compose.yaml:3:12           project file  nginx:1
//	  * compose.override.yaml:2:20  project file  nginx:${TAG}  ->  nginx:2
//	  a later file wins over an earlier one
//	  TAG = 2
//	    ...
func writeExplanation(w io.Writer, x load.Explanation, indent string) {
	value := x.Value
	if !x.Set {
		value = "(not set)"
	}
	fmt.Fprintf(w, "%s%s = %s\n", indent, x.Subject, oneLine(value))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, o := range x.Origins {
		mark, at, said := " ", o.Pos.String(), oneLine(o.Value)
		if o.Wins {
			mark = "*"
		}
		if at == "" {
			at = "-"
		}
		if o.Raw != "" && o.Raw != o.Value {
			said = oneLine(o.Raw) + "  ->  " + said
		}
		fmt.Fprintf(t, "%s  %s %s\t%s\t%s\n", indent, mark, at, o.From, said)
	}
	t.Flush() //nolint:errcheck // into memory
	fmt.Fprintf(w, "%s  %s\n", indent, x.Why)
	for _, v := range x.Variables {
		writeExplanation(w, v, indent+"  ")
	}
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", `\n`) }
