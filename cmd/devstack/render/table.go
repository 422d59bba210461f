package render

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"
	"unicode/utf8"
)

// Table writes rows under headers, columns aligned as Docker aligns them.
func Table(w io.Writer, headers []string, rows [][]string) error {
	return table(w, 10, headers, rows)
}

// WideTable is a table as Compose itself makes them (`ls`): columns of at
// least 20.
func WideTable(w io.Writer, headers []string, rows [][]string) error {
	return table(w, 20, headers, rows)
}

// Fit makes tables that are written to w no wider than a terminal of cols
// columns, as far as they can be.
func Fit(w io.Writer, cols int) io.Writer { return fitted{w, cols} }

type fitted struct {
	io.Writer
	cols int
}

// gap stands between columns; narrowest is what a column is cut to at most.
const gap, narrowest = 3, 10

// fit cuts the widest columns but the first, which has the names.
func fit(cols, minWidth int, headers []string, rows [][]string) [][]string {
	widths := make([]int, len(headers))
	for i, h := range headers {
		widths[i] = utf8.RuneCountInString(h)
		for _, r := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
	}
	total := func() int {
		n := widths[len(widths)-1]
		for _, w := range widths[:len(widths)-1] {
			n += max(w+gap, minWidth)
		}
		return n
	}
	for total() > cols {
		widest := 0
		for i := 1; i < len(widths); i++ {
			if widths[i] > max(narrowest, utf8.RuneCountInString(headers[i])) && (widest == 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest == 0 {
			break
		}
		widths[widest]--
	}
	out := make([][]string, len(rows))
	for i, r := range rows {
		out[i] = slices.Clone(r)
		for j := range r {
			out[i][j] = Ellipsis(r[j], widths[j])
		}
	}
	return out
}

func table(w io.Writer, minWidth int, headers []string, rows [][]string) error {
	if f, ok := w.(fitted); ok {
		rows = fit(f.cols, minWidth, headers, rows)
	}
	tw := tabwriter.NewWriter(w, minWidth, 1, 3, ' ', 0)
	fmt.Fprintln(tw, strings.Join(headers, "\t"))
	for _, r := range rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

// List writes rows in a format of Docker's --format: "" or "table" (of cells
// under headers), "json" (one object a line), or a template, for which columns
// names the fields.
func List[T any](w io.Writer, format string, headers []string, cells [][]string, columns Headers, rows []T) error {
	switch format {
	case "", "table":
		return Table(w, headers, cells)
	case "json":
		return JSONLines(w, rows)
	}
	return Template(w, format, columns, rows)
}

// JSONLines writes one object a line, as Docker's commands do for `json`.
func JSONLines[T any](w io.Writer, rows []T) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// Template writes one line a row with a Go template. A format that begins
// with "table " gets a header line (made by running the template over headers)
// and aligned columns.
func Template[T any](w io.Writer, format string, headers Headers, rows []T) error {
	body, table := strings.CutPrefix(format, "table ")
	body = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(body)
	t, err := template.New("").Funcs(templateFuncs()).Parse(body)
	if err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	known := slices.Sorted(maps.Keys(headers))
	out := w
	if table {
		tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
		defer tw.Flush()
		out = tw
		if err := executeLine(out, t, headers, known); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if err := executeLine(out, t, r, known); err != nil {
			return err
		}
	}
	return nil
}

func executeLine(w io.Writer, t *template.Template, data any, known []string) error {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		if _, field, ok := strings.Cut(err.Error(), "can't evaluate field "); ok {
			field, _, _ = strings.Cut(field, " ")
			return fmt.Errorf("template parsing error: there is no field %q; there are %s", field, strings.Join(known, ", "))
		}
		return fmt.Errorf("template parsing error: %w", err)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// Headers names the column of each field that a template may use.
type Headers map[string]string

// Label heads the column of one label.
func (Headers) Label(name string) string {
	return strings.ToUpper(name[strings.LastIndexByte(name, '.')+1:])
}

// templateFuncs are the functions that docker's formats offer.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
		"split":    strings.Split,
		"join":     strings.Join,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"title":    title,
		"truncate": func(s string, n int) string { return string([]rune(s)[:min(n, len([]rune(s)))]) },
		"pad": func(s string, before, after int) string {
			if s == "" {
				return s
			}
			return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
		},
		"println": func(args ...any) string { return fmt.Sprintln(args...) },
	}
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
