package render

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"devstack/engine/api"
)

// screen is a terminal as far as the tree uses one: text, newlines, cursor up,
// erase to the end. Long lines wrap.
type screen struct {
	cols   int
	lines  []string
	row    int
	writes int
}

var escape = regexp.MustCompile(`\x1b\[(\??)(\d*)([A-Za-z])`)

func (s *screen) Write(p []byte) (int, error) {
	s.writes++
	text := string(p)
	for text != "" {
		loc := escape.FindStringSubmatchIndex(text)
		if loc == nil || loc[0] > 0 {
			end := len(text)
			if loc != nil {
				end = loc[0]
			}
			s.print(text[:end])
			text = text[end:]
			continue
		}
		n, kind := text[loc[4]:loc[5]], text[loc[6]:loc[7]]
		switch kind {
		case "A":
			var up int
			fmt.Sscan(n, &up)
			if s.row -= up; s.row < 0 {
				panic("cursor above the screen")
			}
		case "J":
			s.lines = s.lines[:min(len(s.lines), s.row)]
		}
		text = text[loc[1]:]
	}
	return len(p), nil
}

func (s *screen) print(text string) {
	for _, r := range text {
		switch r {
		case '\r':
		case '\n':
			s.line()
			s.row++
		default:
			s.line()
			if utf8.RuneCountInString(s.lines[s.row]) == s.cols {
				s.row++
				s.line()
			}
			s.lines[s.row] += string(r)
		}
	}
}

func (s *screen) line() {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, "")
	}
}

func (s *screen) text() string {
	var b strings.Builder
	for _, l := range s.lines {
		b.WriteString(strings.TrimRight(l, " ") + "\n")
	}
	return b.String()
}

func TestTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{cols: 60}
		d := NewProgress(s, ProgressOptions{
			Mode: ModeTTY, Title: "up", Style: Coloured, Now: time.Now,
			Size: func() (int, int) { return s.cols, 24 },
		})
		d.Progress(api.Progress{ID: "Image redis:7", State: api.Working, Text: "Pulling"})
		d.Progress(api.Progress{ID: "aaaa", Parent: "Image redis:7", State: api.Working, Text: "Downloading", Current: 500, Total: 2000})
		d.Progress(api.Progress{ID: "Network n", State: api.Done, Text: "Created"})
		time.Sleep(time.Second)
		synctest.Wait()
		want := `[+] up 1/3
 ⠋ Image redis:7 Pulling                               1.0s
 ⠋   aaaa        Downloading 500B/2kB                  1.0s
 ✔ Network n     Created                               0.0s
`
		if got := s.text(); got != want {
			t.Errorf("working:\n%s\nwant:\n%s", got, want)
		}
		d.Notice(api.Notice{Level: "warning", Text: "take care"})
		d.Progress(api.Progress{ID: "aaaa", State: api.Done, Text: "Done"})
		d.Progress(api.Progress{ID: "Image redis:7", State: api.Failed, Text: "Error", Detail: "no such\nimage"})
		d.Close()
		want = `warning: take care
[+] up 3/3
 ✘ Image redis:7 Error no such image                   1.0s
 ✔ Network n     Created                               0.0s
`
		if got := s.text(); got != want {
			t.Errorf("closed:\n%s\nwant:\n%s", got, want)
		}
	})
}

// A burst of events is a few frames, and a terminal that becomes narrower
// still holds one tree.
func TestTreeBurstAndResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{cols: 100}
		d := NewProgress(s, ProgressOptions{
			Mode: ModeTTY, Title: "up", Now: time.Now, Size: func() (int, int) { return s.cols, 10 },
		})
		for i := range 200 {
			id := fmt.Sprintf("Container shop-web-%d", i)
			d.Progress(api.Progress{ID: id, State: api.Working, Text: "Starting"})
			if i%2 == 0 {
				d.Progress(api.Progress{ID: id, State: api.Done, Text: "Started"})
			}
		}
		time.Sleep(frameGap)
		synctest.Wait()
		if s.writes > 3 {
			t.Errorf("%d frames for one burst", s.writes)
		}
		if len(s.lines) > 10 {
			t.Errorf("%d lines on a screen of 10", len(s.lines))
		}
		d.Close()
		if got := strings.Count(s.text(), "[+] up"); got != 1 {
			t.Errorf("%d headings:\n%s", got, s.text())
		}
		if got := strings.Count(s.text(), "Container"); got != 200 {
			t.Errorf("%d containers at the end", got)
		}
	})
}

func TestTreeFitsNarrowTerminals(t *testing.T) {
	for _, cols := range []int{1, 5, 20, 33, 80} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			d := NewProgress(&b, ProgressOptions{Mode: ModeTTY, Title: "up", Now: time.Now, Size: func() (int, int) { return cols, 3 }})
			d.Progress(api.Progress{ID: "Container a-very-long-project-name-service-1", State: api.Working, Text: "Waiting", Detail: strings.Repeat("x", 200)})
			time.Sleep(300 * time.Millisecond)
			d.Close()
			if cols < 33 {
				return // it need only survive
			}
			for _, l := range strings.Split(escape.ReplaceAllString(b.String(), ""), "\n") {
				if n := utf8.RuneCountInString(strings.TrimLeft(l, "\r")); n > cols {
					t.Errorf("%d columns: %d characters: %q", cols, n, l)
				}
			}
		})
	}
}
