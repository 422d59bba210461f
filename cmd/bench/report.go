package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// report is what a run of bench found.
type report struct {
	Baseline timing   `json:"baseline"`
	Results  []result `json:"results"`
}

// timing is the spread of several measurements, in milliseconds.
type timing struct {
	Median float64 `json:"median_ms"`
	Min    float64 `json:"min_ms"`
	Max    float64 `json:"max_ms"`
	Runs   int     `json:"runs"`
}

// result is one line: a timing with its multiple of the baseline, or a value.
type result struct {
	Tool    string  `json:"tool"`
	Name    string  `json:"name"`
	Time    *timing `json:"time,omitempty"`
	Value   float64 `json:"value"` // the multiple of a time
	Unit    string  `json:"unit"`  // "x" is multiples of the baseline
	Target  float64 `json:"target,omitempty"`
	AtLeast bool    `json:"at_least,omitempty"` // the target is a lower bound
	Note    string  `json:"note,omitempty"`
	Error   string  `json:"error,omitempty"`
	Verdict string  `json:"verdict,omitempty"` // "ok", "missed"
}

func (r *report) time(tool, name string, times []time.Duration, baseline time.Duration, target float64) {
	s := spread(times)
	r.add(result{Tool: tool, Name: name, Time: &s, Value: s.Median / ms(baseline), Unit: "x", Target: target})
}

func (r *report) value(tool, name, unit string, v, target float64, note string) {
	r.add(result{Tool: tool, Name: name, Value: v, Unit: unit, Target: target, Note: note})
}

func (r *report) atLeast(tool, name, unit string, v, target float64, note string) {
	r.add(result{Tool: tool, Name: name, Value: v, Unit: unit, Target: target, AtLeast: true, Note: note})
}

// none reports a number that ought to be 0.
func (r *report) none(tool, name string, n int, promised bool, note string) {
	x := result{Tool: tool, Name: name, Value: float64(n), Note: note}
	if promised {
		x.Verdict = "ok"
		if n > 0 {
			x.Verdict = "missed"
		}
	}
	r.Results = append(r.Results, x)
}

func (r *report) fail(tool, name string, err error) {
	r.add(result{Tool: tool, Name: name, Error: err.Error()})
}

func (r *report) add(x result) {
	if x.Target > 0 {
		x.Verdict = "ok"
		if x.AtLeast && x.Value < x.Target || !x.AtLeast && x.Value > x.Target {
			x.Verdict = "missed"
		}
	}
	r.Results = append(r.Results, x)
}

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// writeTable prints a line for each result; the columns align.
func (r *report) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "TOOL\tWHAT\tMEDIAN\tMIN\tMAX\tRESULT\tTARGET\t\tNOTE\n")
	b := r.Baseline
	fmt.Fprintf(t, "crun\trun /bin/true (baseline)\t%.1f ms\t%.1f\t%.1f\t1.0 x\t\t\t%d runs\n", b.Median, b.Min, b.Max, b.Runs)
	for _, x := range r.Results {
		if x.Error != "" {
			fmt.Fprintf(t, "%s\t%s\t\t\t\t\t\tfailed\t%s\n", x.Tool, x.Name, x.Error)
			continue
		}
		spread := "\t\t"
		if x.Time != nil {
			spread = fmt.Sprintf("%.1f ms\t%.1f\t%.1f", x.Time.Median, x.Time.Min, x.Time.Max)
		}
		target := ""
		if x.Target > 0 {
			sign := "≤"
			if x.AtLeast {
				sign = "≥"
			}
			target = fmt.Sprintf("%s %g", sign, x.Target)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.*f %s\t%s\t%s\t%s\n", x.Tool, x.Name, spread, digits(x.Value), x.Value, x.Unit, target, x.Verdict, x.Note)
	}
	return t.Flush()
}

func digits(v float64) int {
	if v < 10 {
		return 2
	}
	return 1
}

// median gives the middle of the values, of an even number the upper one.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// percentile gives the value that p of a hundred do not exceed.
func percentile[T cmp.Ordered](values []T, p int) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)*p+99)/100-1]
}

func spread(times []time.Duration) timing {
	return timing{Median: ms(median(times)), Min: ms(slices.Min(times)), Max: ms(slices.Max(times)), Runs: len(times)}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
