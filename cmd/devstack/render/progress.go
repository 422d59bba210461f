package render

import (
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"

	"devstack/engine/api"
)

// Modes of progress (--progress).
const (
	ModeAuto  = "auto"
	ModeTTY   = "tty"
	ModePlain = "plain"
	ModeJSON  = "json"
	ModeQuiet = "quiet"
)

// Display shows how an operation gets on. Its methods may be called from
// several goroutines.
type Display interface {
	Progress(api.Progress)
	Notice(api.Notice)
	// Close ends the display; the last state stays on the screen.
	Close()
}

// ProgressOptions say how progress looks.
type ProgressOptions struct {
	Mode   string // never ModeAuto
	Title  string // "up", "down"
	Prefix string // "DRY-RUN MODE - "
	Style  Style
	// Size gives the terminal's size in characters; required with ModeTTY.
	Size func() (cols, rows int)
	Now  func() time.Time
}

// NewProgress makes the display that o asks for.
func NewProgress(w io.Writer, o ProgressOptions) Display {
	switch o.Mode {
	case ModeTTY:
		return newTree(w, o)
	case ModeJSON:
		return &jsonProgress{w: w, dry: o.Prefix != ""}
	case ModeQuiet:
		return quietProgress{}
	}
	return &plainProgress{w: w, o: o}
}

type quietProgress struct{}

func (quietProgress) Progress(api.Progress) {}
func (quietProgress) Notice(api.Notice)     {}
func (quietProgress) Close()                {}

// plainProgress writes a line a change, as Compose does when stderr is no
// terminal. Bytes of a download are not changes.
type plainProgress struct {
	w    io.Writer
	o    ProgressOptions
	mu   sync.Mutex
	last map[string]string
}

func (p *plainProgress) Progress(e api.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = make(map[string]string)
	}
	if e.Log { // every line, also one that comes again
		place, _, _ := strings.Cut(e.ID, "] ")
		io.WriteString(p.w, p.o.Prefix+strings.TrimRight(" "+place+"] | "+Clean(e.Detail), " ")+"\n")
		return
	}
	line := strings.TrimRight(" "+e.ID+" "+e.Text+" "+Clean(e.Detail), " ")
	if p.last[e.ID] == line {
		return
	}
	p.last[e.ID] = line
	io.WriteString(p.w, p.o.Prefix+line+"\n")
}

func (p *plainProgress) Notice(n api.Notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range noticeLines(n, p.o.Style) {
		io.WriteString(p.w, line+"\n")
	}
}

func (p *plainProgress) Close() {}

func noticeLines(n api.Notice, s Style) []string {
	text := n.Text
	if n.Level == "warning" {
		text = s.Yellow("warning:") + " " + text
	}
	lines := []string{text}
	for _, line := range n.Excerpt {
		lines = append(lines, Clean(line))
	}
	return lines
}

// jsonProgress writes an object a change, with Compose's keys.
type jsonProgress struct {
	w   io.Writer
	dry bool
	mu  sync.Mutex
}

type jsonLine struct {
	DryRun   bool   `json:"dry-run,omitempty"`
	ID       string `json:"id,omitempty"`
	ParentID string `json:"parent_id,omitempty"`
	Status   string `json:"status,omitempty"`
	Text     string `json:"text,omitempty"`
	Details  string `json:"details,omitempty"`
	Current  int64  `json:"current,omitempty"`
	Total    int64  `json:"total,omitempty"`
	Percent  int    `json:"percent,omitempty"`
	Level    string `json:"level,omitempty"`
}

func (p *jsonProgress) Progress(e api.Progress) {
	p.write(jsonLine{
		DryRun: p.dry, ID: e.ID, ParentID: e.Parent, Status: title(e.State), Text: e.Text,
		Details: e.Detail, Current: e.Current, Total: e.Total, Percent: percent(e.Current, e.Total),
	})
}

func (p *jsonProgress) Notice(n api.Notice) {
	p.write(jsonLine{DryRun: p.dry, Text: n.Text, Level: n.Level})
}

func (p *jsonProgress) write(l jsonLine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	enc := json.NewEncoder(p.w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(l)
}

func (p *jsonProgress) Close() {}

func percent(current, total int64) int {
	if total <= 0 {
		return 0
	}
	return int(min(100, current*100/total))
}
