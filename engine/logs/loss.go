package logs

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// loss is what a stream wrote while the journal could not be written.
type loss struct {
	lines  int // whole or in part
	inLine bool
	why    error
}

// lose counts what p, the next bytes of a stream, would have been, and returns
// why. It needs j.mu.
func (j *Journal) lose(stream int, p []byte, why error) error {
	l := &j.lost[stream]
	if errors.Is(why, ErrClosed) || len(p) == 0 {
		return why
	}
	l.why = why
	l.lines += bytes.Count(p, []byte{'\n'})
	if l.inLine {
		l.lines-- // counted when it began
	}
	if l.inLine = p[len(p)-1] != '\n'; l.inLine {
		l.lines++
	}
	return why
}

// admitLoss writes a line in the place of those that were lost, if any; an
// error says that writing is still impossible. It needs j.mu.
func (j *Journal) admitLoss() error {
	for i := range j.lost {
		l := &j.lost[i]
		if l.lines == 0 {
			continue
		}
		stamp := time.Now().UTC().Format(stampLayout)
		var out []byte
		if j.open[i] { // its rest is among the lost
			out = appendRecord(out, stamp, record{stream: i, continues: true, ends: true})
		}
		out = appendRecord(out, stamp, record{stream: i, ends: true, text: []byte(l.String())})
		if err := j.write(out, nil); err != nil {
			return err
		}
		j.open[i] = false
		*l = loss{}
	}
	return nil
}

func (l *loss) String() string {
	lines := "lines"
	if l.lines == 1 {
		lines = "line"
	}
	why := "cannot be written"
	var errno syscall.Errno
	switch {
	case errors.Is(l.why, syscall.ENOSPC), errors.Is(l.why, syscall.EDQUOT):
		why = "disk full"
	case errors.As(l.why, &errno):
		why = errno.Error()
	}
	return fmt.Sprintf("[devstack: %d %s lost: %s]", l.lines, lines, why)
}
