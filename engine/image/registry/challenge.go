package registry

import (
	"net/http"
	"strings"
)

// challenge is what a registry asks for: nothing, "basic" or "bearer".
type challenge struct {
	scheme string
	params map[string]string
}

// challengeOf reads WWW-Authenticate. Of several offers bearer is taken.
func challengeOf(h http.Header) challenge {
	var best challenge
	for _, value := range h.Values("WWW-Authenticate") {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
		switch strings.ToLower(scheme) {
		case "bearer":
			return challenge{"bearer", params(rest)}
		case "basic":
			best = challenge{"basic", params(rest)}
		}
	}
	return best
}

// params reads name="value" pairs; values may be quoted.
func params(s string) map[string]string {
	out := map[string]string{}
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		name = strings.ToLower(strings.Trim(name, " ,\t"))
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, s = quoted(rest[1:])
		} else {
			value, s, _ = strings.Cut(rest, ",")
		}
		out[name] = strings.TrimSpace(value)
	}
	return out
}

func quoted(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}
