package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Codes of the distribution specification that are told apart.
const (
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeDenied          = "DENIED"
	codeDigestInvalid   = "DIGEST_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeNameUnknown     = "NAME_UNKNOWN"
	codeUnauthorized    = "UNAUTHORIZED"
)

// StatusError is an answer that is not the wanted one.
type StatusError struct {
	Method, URL string // without the query: that may hold signatures
	Host        string // that answered
	Status      int
	Codes       []string
	Message     string
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
	if len(e.Codes) > 0 {
		s += " (" + strings.Join(e.Codes, ", ") + ")"
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

func (e *StatusError) has(codes ...string) bool {
	return slices.ContainsFunc(codes, func(c string) bool { return slices.Contains(e.Codes, c) })
}

// check makes an error of an answer with another status than those wanted. It
// reads the body then, but leaves the closing to the caller.
func check(resp *http.Response, want ...int) error {
	if slices.Contains(want, resp.StatusCode) {
		return nil
	}
	e := &StatusError{Status: resp.StatusCode}
	if req := resp.Request; req != nil {
		u := *req.URL
		u.RawQuery, u.User = "", nil
		e.Method, e.URL, e.Host = req.Method, u.String(), u.Host
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10)) // the status is the news
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(b, &body) == nil {
		for _, x := range body.Errors {
			e.Codes = append(e.Codes, x.Code)
			if e.Message == "" {
				e.Message = x.Message
			}
		}
	} else if text := strings.TrimSpace(string(b)); len(text) < 200 && !strings.Contains(text, "<") {
		e.Message = text
	}
	return e
}
