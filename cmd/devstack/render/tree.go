package render

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"devstack/engine/api"
)

const (
	// frameGap is the least time between two frames, so that a burst of events
	// costs one redraw.
	frameGap = 40 * time.Millisecond
	// tick turns the spinners while something is under way.
	tick = 100 * time.Millisecond
)

// tree is the live display on a terminal:
//
//	[+] up 2/3
//	 ✔ Network shop_default   Created    0.0s
//	 ✔ Container shop-db-1    Healthy    0.4s
//	 ⠙ Container shop-web-1   Starting   0.5s
//
// An event marks the tree as changed; the goroutine run draws at most one
// frame a frameGap. A frame is one Write: cursor up over the last frame, the
// lines, each cut to the terminal's width.
type tree struct {
	w io.Writer
	o ProgressOptions

	mu    sync.Mutex
	tasks map[string]*task
	order []*task
	lines []string // notices to print above the tree
	dirty bool
	drawn []int // widths of the lines of the last frame, in characters

	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

type task struct {
	api.Progress
	start, end time.Time
	printed    []string // its last lines, if it is a step of a build
}

// printedLines is how many lines of a step are shown while it works.
const printedLines = 5

func newTree(w io.Writer, o ProgressOptions) *tree {
	t := &tree{
		w: w, o: o, tasks: make(map[string]*task),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go t.run()
	return t
}

func (t *tree) run() {
	defer close(t.done)
	spin := time.NewTicker(tick)
	defer spin.Stop()
	for {
		select {
		case <-t.stop:
			t.frame(true)
			return
		case <-spin.C:
		case <-t.wake:
		}
		t.frame(false)
		select {
		case <-t.stop:
			t.frame(true)
			return
		case <-time.After(frameGap):
		}
	}
}

// Progress takes one event.
func (t *tree) Progress(e api.Progress) {
	now := t.o.Now()
	t.mu.Lock()
	k, ok := t.tasks[e.ID]
	if !ok {
		k = &task{start: now}
		t.tasks[e.ID] = k
		t.order = append(t.order, k)
	}
	if e.Parent == "" {
		e.Parent = k.Parent
	}
	if e.Log {
		k.printed = append(k.printed, Clean(e.Detail))
		k.printed = k.printed[max(0, len(k.printed)-printedLines):]
		e.Detail = ""
	}
	e.Total = max(e.Total, k.Total)
	e.Current = max(e.Current, k.Current)
	k.Progress = e
	k.end = time.Time{}
	if e.State != api.Working {
		k.end = now
	}
	t.dirty = true
	t.mu.Unlock()
	t.poke()
}

// Notice prints a line above the tree.
func (t *tree) Notice(n api.Notice) {
	t.mu.Lock()
	t.lines = append(t.lines, noticeLines(n, t.o.Style)...)
	t.dirty = true
	t.mu.Unlock()
	t.poke()
}

func (t *tree) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Close draws the last frame.
func (t *tree) Close() {
	close(t.stop)
	<-t.done
}

// frame redraws the tree if an event or a spinner changed it.
func (t *tree) frame(last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	working := false
	for _, k := range t.order {
		working = working || k.State == api.Working
	}
	if !t.dirty && !working && !last || len(t.order) == 0 && len(t.lines) == 0 {
		return
	}
	t.dirty = false
	cols, rows := t.o.Size()

	var b strings.Builder
	b.WriteString("\x1b[?25l")
	if up := t.height(cols); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString("\r\x1b[J")
	for _, n := range t.lines {
		b.WriteString(n + "\n")
	}
	t.lines, t.drawn = nil, t.drawn[:0]
	if len(t.order) > 0 {
		room := rows - 2
		if last {
			room = len(t.order) + 1
		}
		for _, line := range t.compose(cols, room, last) {
			b.WriteString(line.text + "\n")
			t.drawn = append(t.drawn, line.width)
		}
	}
	b.WriteString("\x1b[?25h")
	io.WriteString(t.w, b.String())
}

// height is how many rows the last frame takes in a terminal that may have
// become narrower since, and so wrapped its lines.
func (t *tree) height(cols int) int {
	n := 0
	for _, w := range t.drawn {
		n += max(1, (w+cols-1)/max(1, cols))
	}
	return n
}

type treeLine struct {
	text  string
	width int
}

// compose makes the lines of a frame: a heading, then every task with its
// children while it works. What is done gives way first where room is short.
func (t *tree) compose(cols, room int, last bool) []treeLine {
	finished, shown := 0, make([]*task, 0, len(t.order))
	for _, k := range t.order {
		if k.State != api.Working {
			finished++
		}
		if k.Parent == "" {
			shown = append(shown, k)
			shown = append(shown, t.children(k, last)...)
		}
	}
	for i := 0; len(shown) > room-1 && i < len(shown); {
		if shown[i].State == api.Done {
			shown = append(shown[:i:i], shown[i+1:]...)
			continue
		}
		i++
	}
	if extra := len(shown) - max(1, room-1); extra > 0 && !last {
		shown = shown[:len(shown)-extra]
	}
	head := fmt.Sprintf("%s[+] %s %d/%d", t.o.Prefix, t.o.Title, finished, len(t.order))
	lines := []treeLine{{head, utf8.RuneCountInString(head)}}
	width := 0
	for _, k := range shown {
		width = max(width, utf8.RuneCountInString(k.label()))
	}
	spare := room - 1 - len(shown)
	for _, k := range shown {
		lines = append(lines, t.line(k, width, cols))
		if k.State != api.Working || last {
			continue
		}
		n := max(0, min(len(k.printed), spare))
		for _, text := range k.printed[len(k.printed)-n:] {
			text = Ellipsis("     │ "+text, cols-1)
			lines = append(lines, treeLine{text, utf8.RuneCountInString(text)})
		}
		spare -= n
	}
	return lines
}

// children of what still works, and what failed of everything else.
func (t *tree) children(parent *task, last bool) (out []*task) {
	for _, k := range t.order {
		if k.Parent == parent.ID && (k.State == api.Failed || parent.State == api.Working && !last) {
			out = append(out, k)
		}
	}
	return out
}

func (k *task) label() string {
	if k.Parent != "" {
		return "  " + k.ID
	}
	return k.ID
}

func (t *tree) line(k *task, width, cols int) treeLine {
	now := t.o.Now()
	mark, paint := t.mark(k, now)
	end := k.end
	if end.IsZero() {
		end = now
	}
	timer := fmt.Sprintf("%.1fs", max(0, end.Sub(k.start)).Seconds())
	widest := max(8, cols-20)
	width, label := min(width, widest), Ellipsis(k.label(), widest)
	left := " " + mark + " " + label + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(label))) + " "
	status := k.Text
	if k.Total > 0 && k.State == api.Working {
		status += fmt.Sprintf(" %s/%s", Size(k.Current), Size(k.Total))
	}
	detail := ""
	if k.Detail != "" {
		detail = " " + Clean(k.Detail)
	}
	room := max(0, cols-utf8.RuneCountInString(left)-len(timer)-2)
	status = Ellipsis(status, room)
	detail = Ellipsis(detail, room-utf8.RuneCountInString(status))
	if room <= utf8.RuneCountInString(status) {
		detail = ""
	}
	used := utf8.RuneCountInString(left + status + detail)
	gap := max(1, cols-1-used-len(timer))
	text := strings.Replace(left, mark, paint(mark), 1) + paint(status) + detail +
		strings.Repeat(" ", gap) + t.o.Style.Blue(timer)
	return treeLine{text, used + gap + len(timer)}
}

func (t *tree) mark(k *task, now time.Time) (string, func(string) string) {
	s := t.o.Style
	switch k.State {
	case api.Done:
		return "✔", s.Green
	case api.Warning:
		return "!", s.Yellow
	case api.Failed:
		return "✘", s.Red
	}
	frames := [...]string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	i := int(now.Sub(k.start)/tick) % len(frames)
	return frames[max(0, i)], func(x string) string { return x }
}
