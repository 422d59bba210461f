package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"devstack/compose"
	"devstack/compose/graph"
)

func newGraphCmd(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "graph [OPTIONS] [SERVICE...]",
		Short: "Show which services need which",
		RunE: func(cmd *cobra.Command, services []string) error {
			return runGraph(cmd.Context(), e, format, services)
		},
		ValidArgsFunction: e.serviceNames,
	}
	cmd.Flags().StringVar(&format, "format", "ascii", "Format the output. Values: [ascii | dot | mermaid | json]")
	return cmd
}

func runGraph(ctx context.Context, e *env, format string, services []string) error {
	write := map[string]func(io.Writer, *drawing) error{
		"ascii": drawTree, "dot": drawDot, "mermaid": drawMermaid, "json": drawJSON,
	}[format]
	if write == nil {
		return fmt.Errorf("unsupported format %q (ascii, dot, mermaid, json)", format)
	}
	opts := e.loadOptions(ctx)
	opts.Render = true
	p, err := e.loadAs(ctx, opts, services)
	if err != nil {
		return err
	}
	g, err := graph.New(p)
	if err != nil {
		return err
	}
	return write(e.stdout, &drawing{p, g, p.Selection(services)})
}

// drawing is what the formats show.
type drawing struct {
	p     *compose.Project
	g     *graph.Graph
	names []string
}

// edges are the needs of all services, sorted.
func (d *drawing) edges() (all []graph.Edge) {
	for _, n := range d.names {
		all = append(all, d.g.Dependencies(n)...)
	}
	return all
}

// label says when the need is met, and whether it is a must.
func label(edge graph.Edge) string {
	text := strings.TrimPrefix(edge.Condition, "service_")
	if text == "completed_successfully" {
		text = "completed"
	}
	if !edge.Required {
		text += ", optional"
	}
	if edge.Restart {
		text += ", restart"
	}
	return text
}

// drawTree shows a tree below each service that no other one needs. What a
// service needs is shown once and is "..." after that.
func drawTree(w io.Writer, d *drawing) error {
	shown := map[string]bool{}
	var below func(name, indent string)
	below = func(name, indent string) {
		edges := d.g.Dependencies(name)
		if shown[name] && len(edges) > 0 {
			fmt.Fprintf(w, "%s`-- ...\n", indent)
			return
		}
		shown[name] = true
		for i, edge := range edges {
			branch, next := "|-- ", "|   "
			if i == len(edges)-1 {
				branch, next = "`-- ", "    "
			}
			fmt.Fprintf(w, "%s%s%s (%s)\n", indent, branch, edge.To, label(edge))
			below(edge.To, indent+next)
		}
	}
	for _, name := range d.names {
		needed := slices.ContainsFunc(d.g.Dependents(name), func(edge graph.Edge) bool { return slices.Contains(d.names, edge.From) })
		if !needed {
			fmt.Fprintln(w, name)
			below(name, "")
		}
	}
	return nil
}

func drawDot(w io.Writer, d *drawing) error {
	fmt.Fprintf(w, "digraph %q {\n", d.p.Name)
	for _, n := range d.names {
		fmt.Fprintf(w, "  %q;\n", n)
	}
	for _, edge := range d.edges() {
		style := ""
		if !edge.Required {
			style = ", style=dashed"
		}
		fmt.Fprintf(w, "  %q -> %q [label=%q%s];\n", edge.From, edge.To, label(edge), style)
	}
	_, err := fmt.Fprintln(w, "}")
	return err
}

func drawMermaid(w io.Writer, d *drawing) error {
	fmt.Fprintln(w, "flowchart LR")
	// Names may hold dots and words that Mermaid has for itself.
	id := map[string]string{}
	for i, n := range d.names {
		id[n] = fmt.Sprintf("s%d", i+1)
		fmt.Fprintf(w, "  %s[%q]\n", id[n], n)
	}
	for _, edge := range d.edges() {
		arrow := "-->"
		if !edge.Required {
			arrow = "-.->"
		}
		fmt.Fprintf(w, "  %s %s|%s| %s\n", id[edge.From], arrow, label(edge), id[edge.To])
	}
	return nil
}

func drawJSON(w io.Writer, d *drawing) error {
	type service struct {
		Name  string `json:"name"`
		Image string `json:"image,omitempty"`
		Level int    `json:"level"` // 0 needs nothing
	}
	type need struct {
		From      string `json:"from"`
		To        string `json:"to"`
		Condition string `json:"condition"`
		Required  bool   `json:"required"`
		Restart   bool   `json:"restart"`
		Cause     string `json:"cause"`
		Position  string `json:"position,omitempty"`
	}
	out := struct {
		Project  string    `json:"project"`
		Services []service `json:"services"`
		Needs    []need    `json:"needs"`
	}{d.p.Name, []service{}, []need{}}
	for level, names := range d.g.Levels() {
		for _, n := range names {
			if slices.Contains(d.names, n) {
				out.Services = append(out.Services, service{n, d.p.Services[n].Image, level})
			}
		}
	}
	for _, edge := range d.edges() {
		n := need{edge.From, edge.To, edge.Condition, edge.Required, edge.Restart, edge.Cause, ""}
		if edge.Pos.IsValid() {
			n.Position = edge.Pos.String()
		}
		out.Needs = append(out.Needs, n)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
