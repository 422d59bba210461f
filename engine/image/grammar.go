package image

import (
	"fmt"
	"strings"
)

func isLowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func isAlnum(c byte) bool { return isLowerAlnum(c) || c >= 'A' && c <= 'Z' }

func isHex64(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func validTag(t string) bool {
	if t == "" || len(t) > 128 || t[0] == '.' || t[0] == '-' {
		return false
	}
	for i := range len(t) {
		if c := t[i]; !isAlnum(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// validDomain accepts host[:port], where host is a name or an IPv6 address in
// brackets.
func validDomain(d string) bool {
	host := d
	if i := strings.LastIndexByte(d, ':'); i >= 0 && !strings.HasSuffix(d, "]") {
		port := d[i+1:]
		host = d[:i]
		if port == "" || strings.Trim(port, "0123456789") != "" {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && strings.Trim(inner, "0123456789abcdefABCDEF:") == ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

func validLabel(l string) bool {
	if l == "" || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		if !isAlnum(l[i]) && l[i] != '-' {
			return false
		}
	}
	return true
}

// checkPath holds a repository path to the grammar: components of lower-case
// letters and digits, joined inside by one '.', one or two '_', or any '-'.
func checkPath(p string) error {
	if p == "" {
		return fmt.Errorf("repository name is empty")
	}
	if strings.ToLower(p) != p {
		return fmt.Errorf("repository name %q must be lower case", p)
	}
	for part := range strings.SplitSeq(p, "/") {
		if !validComponent(part) {
			return fmt.Errorf("repository name %q is not valid (want lower-case letters and digits, joined by '.', '_', '-' or '/')", p)
		}
	}
	return nil
}

func validComponent(c string) bool {
	for c != "" {
		n := 0
		for n < len(c) && isLowerAlnum(c[n]) {
			n++
		}
		if n == 0 {
			return false
		}
		if c = c[n:]; c == "" {
			return true
		}
		n = separator(c)
		if n == 0 {
			return false
		}
		c = c[n:]
	}
	return false
}

// separator is the length of the separator that s starts with, 0 for none.
func separator(s string) int {
	switch s[0] {
	case '.':
		return 1
	case '_':
		if len(s) > 1 && s[1] == '_' {
			return 2
		}
		return 1
	case '-':
		return len(s) - len(strings.TrimLeft(s, "-"))
	}
	return 0
}
