package load

import (
	"strings"

	"devstack/schema"
)

// nearest finds the known key that looks most like a wrong one.
func nearest(key string, v *schema.Value) string {
	var names []string
	for _, group := range v.Keys {
		for _, k := range group {
			names = append(names, k.Name)
		}
	}
	return closest(key, names)
}

// closest finds the name that differs least from a wrong one, if it differs
// little enough to be meant.
func closest(wrong string, names []string) string {
	wrong = strings.ReplaceAll(strings.ToLower(wrong), "-", "_")
	if len(wrong) > 64 {
		return ""
	}
	best, limit := "", 1+len(wrong)/4
	for _, name := range names {
		plain := strings.ReplaceAll(strings.ToLower(name), "-", "_")
		if plain == wrong || plain == wrong+"s" || plain+"s" == wrong {
			return name
		}
		if d := Distance(wrong, plain, limit); d <= limit && (best == "" || d < limit) {
			best, limit = name, d
		}
	}
	if limit >= len(wrong) {
		return ""
	}
	return best
}

// Distance counts the insertions, deletions, replacements and swaps of
// neighbours between two words; more than limit is not counted out.
func Distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
