package render

import (
	"strings"
	"unicode/utf8"
)

// Style colours text, or leaves it alone.
type Style bool

// Style values.
const (
	Plain    Style = false
	Coloured Style = true
)

// SGR codes, as Compose uses them.
const (
	red     = "31"
	green   = "32"
	yellow  = "33"
	blue    = "34"
	magenta = "35"
	cyan    = "36"
)

// rainbow gives the n-th log prefix its colour, in Compose's order.
func rainbow(n int) string {
	order := [...]string{cyan, yellow, green, magenta, blue}
	code := order[n%len(order)]
	if n/len(order)%2 == 1 {
		code += ";1"
	}
	return code
}

func (s Style) paint(code, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Red, Yellow, Green and Blue colour text.
func (s Style) Red(text string) string    { return s.paint(red, text) }
func (s Style) Yellow(text string) string { return s.paint(yellow, text) }
func (s Style) Green(text string) string  { return s.paint(green, text) }
func (s Style) Blue(text string) string   { return s.paint(blue, text) }

// Clean takes the control characters out of text that comes from outside, so
// that a line on the terminal stays one line.
func Clean(text string) string {
	if strings.IndexFunc(text, isControl) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, text)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// Ellipsis cuts text to n characters, the last of which is then "…".
func Ellipsis(text string, n int) string {
	if n <= 0 || utf8.RuneCountInString(text) <= n {
		return text
	}
	if n == 1 {
		return "…"
	}
	runes := []rune(text)
	return string(runes[:n-1]) + "…"
}
