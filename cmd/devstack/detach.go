package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// detachDefault are the keys that leave a container alone, as with Docker.
const detachDefault = "ctrl-p,ctrl-q"

// errDetached is the cause of an end by keys.
var errDetached = errors.New("read escape sequence")

// parseKeys reads "ctrl-p,ctrl-q": letters, and ctrl- with a letter or one of
// @ [ \ ] ^ _.
func parseKeys(s string) ([]byte, error) {
	var keys []byte
	for word := range strings.SplitSeq(s, ",") {
		c, ctrl := strings.CutPrefix(strings.ToLower(word), "ctrl-")
		switch {
		case !ctrl && len(word) == 1:
			keys = append(keys, word[0])
		case ctrl && len(c) == 1 && c[0] >= 'a' && c[0] <= 'z':
			keys = append(keys, c[0]-'a'+1)
		case ctrl && len(c) == 1 && strings.Contains(`@[\]^_`, c):
			keys = append(keys, c[0]-'@')
		default:
			return nil, fmt.Errorf("invalid --detach-keys %q: %q is no key (ctrl-p, a, ...)", s, word)
		}
	}
	return keys, nil
}

// detachReader passes input on until the keys come; then it calls detach and
// has come to its end. Keys that may be the beginning of the sequence wait for
// the next one.
type detachReader struct {
	in      io.Reader
	keys    []byte
	detach  func()
	matched int
	left    []byte // read and not yet passed on
	over    bool
}

func (r *detachReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if r.over {
			return 0, io.EOF
		}
		buf := make([]byte, max(1, len(p)))
		n, err := r.in.Read(buf)
		r.take(buf[:n])
		if err != nil && len(r.left) == 0 {
			return 0, err
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *detachReader) take(in []byte) {
	for _, b := range in {
		if b != r.keys[r.matched] && r.matched > 0 {
			r.left = append(r.left, r.keys[:r.matched]...)
			r.matched = 0
		}
		if b != r.keys[r.matched] {
			r.left = append(r.left, b)
			continue
		}
		if r.matched++; r.matched == len(r.keys) {
			r.over = true
			r.detach()
			return
		}
	}
}

// Fd makes the terminal visible as one.
func (r *detachReader) Fd() uintptr { return fdOf(r.in) }
