package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// statusLine is the last line of a terminal: what else is written goes above it.
type statusLine struct {
	mu   sync.Mutex
	out  io.Writer
	cols func() int
	line string
	rest bool // the last text did not end its line: the status waits
}

// above is a stream whose output goes above the status line.
type above struct {
	s  *statusLine
	to io.Writer
}

// Write writes p and puts the status line under it again.
func (a above) Write(p []byte) (int, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.s.erase()
	n, err := a.to.Write(p)
	a.s.rest = len(p) > 0 && p[len(p)-1] != '\n'
	a.s.draw()
	return n, err
}

// Fd makes it a terminal where the stream is one.
func (a above) Fd() uintptr { return fdOf(a.to) }

func (s *statusLine) erase() {
	if s.line != "" && !s.rest {
		io.WriteString(s.out, "\r\x1b[2K")
	}
}

func (s *statusLine) draw() {
	if s.line != "" && !s.rest {
		line := s.line
		if r, most := []rune(line), s.cols()-1; len(r) > most {
			line = string(r[:max(0, most)])
		}
		io.WriteString(s.out, "\x1b[2m"+line+"\x1b[0m")
	}
}

// status replaces the status line; "" takes it away.
func (s *statusLine) status(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.line = line
	s.draw()
}

// menu shows the keys and obeys them, where there is a terminal on both sides
// and --menu or COMPOSE_MENU does not forbid it. leave ends it.
func (s *session) menu(w *upWatch) (leave func()) {
	none := func() {}
	if !s.wantsMenu() {
		return none
	}
	restore, err := keyMode(s.e.stdin)
	if err != nil {
		return none
	}
	out, errOut := s.e.stdout, s.e.stderr
	sc := &statusLine{out: out, cols: func() int { cols, _ := terminalSize(out); return cols }}
	s.e.stdout, s.e.stderr = above{sc, out}, above{sc, errOut}
	s.logs.Redirect(s.e.stdout, s.e.stderr)
	show := func() { sc.status(menuLine(w.on(), s.muted.Load())) }
	w.refresh = show
	show()
	go func() {
		for key := make([]byte, 1); ; {
			if _, err := s.e.stdin.Read(key); err != nil {
				return
			}
			switch key[0] {
			case 'w':
				w.toggle()
				if !w.on() {
					fmt.Fprintln(s.e.stdout, "watch is off")
				}
			case 'r':
				w.restart()
			case 'b':
				w.rebuild()
			case 'l':
				s.muted.Store(!s.muted.Load())
			case 'q':
				s.quit()
			}
			show()
		}
	}()
	return func() {
		sc.status("")
		restore()
	}
}

// wantsMenu follows Compose: on by default on a terminal.
func (s *session) wantsMenu() bool {
	if !isTerminal(s.e.stdin) || !isTerminal(s.e.stdout) || s.e.getenv("TERM") == "dumb" {
		return false
	}
	if s.o.menuSet {
		return s.o.menu
	}
	return s.e.menu(s.req.Project)
}

func menuLine(watching, muted bool) string {
	state := func(on bool, a, b string) string {
		if on {
			return a
		}
		return b
	}
	return strings.Join([]string{
		"w " + state(watching, "stop watching", "watch"), "r restart", "b rebuild",
		"l " + state(muted, "show logs", "hide logs"), "q quit",
	}, " · ")
}
