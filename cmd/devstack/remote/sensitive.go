package remote

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"devstack/compose"
)

// secretsIn finds what looks like a key or a password in a file. It names the
// kind and the place, never the secret.
func secretsIn(path string, data []byte) (found []Doubt) {
	kinds := []struct{ name, pattern string }{
		{"an AWS access key", `\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b`},
		{"a GitHub token", `\bgh[pousr]_[A-Za-z0-9]{36}`},
		{"a private key", `-----BEGIN [A-Z ]*PRIVATE KEY-----`},
		{"a JSON web token", `\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+`},
		{"a URL with a password", `[a-z][a-z0-9+.-]*://[^\s/:@$"']+:[^\s/:@$"'{}]+@`},
	}
	for _, k := range kinds {
		for _, at := range regexp.MustCompile(k.pattern).FindAllIndex(data, -1) {
			line := 1 + bytes.Count(data[:at[0]], []byte("\n"))
			found = append(found, Doubt{Pos: compose.Pos{File: path, Line: line, Col: at[0] - bytes.LastIndexByte(data[:at[0]], '\n')}, Text: "what looks like " + k.name})
		}
	}
	return found
}

// suspicious says that a variable of this name usually holds a secret.
func suspicious(key string) bool {
	key = strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(key))
	for _, word := range []string{"password", "passwd", "secret", "token", "apikey", "privatekey", "accesskey", "credential"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// literal says that a value is one, and not made of variables.
func literal(s string) bool {
	s = strings.TrimSpace(strings.ReplaceAll(s, "$$", "X"))
	return len(s) > 2 && !strings.HasPrefix(s, "$") && !strings.HasSuffix(s, "}")
}

// setting is a variable's value and its place.
type setting struct {
	text string
	node *yaml.Node
}

// environment reads both forms of a service's environment.
func environment(n *yaml.Node) map[string]setting {
	out := map[string]setting{}
	for _, m := range members(n) {
		out[m[0].Value] = setting{m[1].Value, m[1]}
	}
	if n == nil || n.Kind == yaml.MappingNode {
		return out
	}
	for _, item := range items(n) {
		if key, v, ok := strings.Cut(item.Value, "="); ok {
			out[key] = setting{v, item}
		}
	}
	return out
}

// String is how a doubt is told.
func (d Doubt) String() string { return fmt.Sprintf("%s: %s", d.Pos, d.Text) }
