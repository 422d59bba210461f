package render

import (
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"devstack/engine/api"
)

// LogOptions say how log lines look.
type LogOptions struct {
	Style      Style
	NoPrefix   bool
	Timestamps bool
	// Split sends what containers wrote to stderr to Err; otherwise all goes
	// to Out.
	Split bool
}

// Logs writes log lines, each behind the coloured name of its container.
type Logs struct {
	mu       sync.Mutex
	out, err io.Writer
	o        LogOptions
	width    int
	names    []string
	prefix   map[string]string
	buf      []byte
}

// NewLogs makes a writer of log lines. The names are the containers known
// beforehand; they settle colours and the width of the prefix.
func NewLogs(out, err io.Writer, o LogOptions, names ...string) *Logs {
	l := &Logs{out: out, err: err, o: o, prefix: make(map[string]string)}
	for _, n := range names {
		l.register(n)
	}
	return l
}

// Redirect makes the lines go elsewhere from now on.
func (l *Logs) Redirect(out, err io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out, l.err = out, err
}

// register gives a container its colour and widens all prefixes to the longest
// name.
func (l *Logs) register(name string) {
	if _, ok := l.prefix[name]; ok {
		return
	}
	l.names = append(l.names, name)
	l.prefix[name] = ""
	l.width = max(l.width, utf8.RuneCountInString(name))
	if l.o.NoPrefix {
		return
	}
	for i, n := range l.names {
		pad := strings.Repeat(" ", l.width-utf8.RuneCountInString(n)+1)
		l.prefix[n] = l.o.Style.paint(rainbow(i), n+pad+" | ")
	}
}

// Line writes one log line with a single Write.
func (l *Logs) Line(line api.LogLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.register(line.Container)
	l.buf = append(l.buf[:0], l.prefix[line.Container]...)
	if l.o.Timestamps {
		l.buf = line.Time.UTC().AppendFormat(l.buf, "2006-01-02T15:04:05.000000000Z07:00")
		l.buf = append(l.buf, ' ')
	}
	l.buf = append(append(l.buf, line.Text...), '\n')
	w := l.out
	if l.o.Split && line.Stream == "stderr" {
		w = l.err
	}
	_, err := w.Write(l.buf)
	return err
}

// Status writes a line about a container, "web-1 exited with code 0", in its
// colour.
func (l *Logs) Status(container, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.register(container)
	line := container + " " + text
	for i, n := range l.names {
		if n == container {
			line = l.o.Style.paint(rainbow(i), line)
			break
		}
	}
	io.WriteString(l.out, line+"\n")
}
