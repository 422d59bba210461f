package logs

import (
	"bytes"
	"fmt"
	"time"
)

// A journal is a folder of files 00000001.log, 00000002.log, ...; the last one
// grows, the first ones go when there are too many. A file is a sequence of
// records, one a text line, in the form that Kubernetes' CRI gave to container
// logs, with one tag more:
//
//	2026-01-02T15:04:05.123456789Z stdout F listening on :80
//	|<--------- 30 bytes -------->|      |
//	                      stdout, stderr  F    the line ends here
//	                                      P    it goes on in the stream's next record
//	                                      F:c, P:c  same, and it began in an earlier record
//
// A line is cut into several records when it is longer than maxPiece, and
// wherever the container paused in the middle of it. The tag "c" lets a reader
// that comes from the end tell where lines begin.
const (
	stampLayout = "2006-01-02T15:04:05.000000000Z"
	stampLen    = len(stampLayout)
	tagAt       = stampLen + len(" stdout ")
	maxPiece    = 16 << 10
	maxRecord   = maxPiece + tagAt + len("F:c \n")
)

// The streams of a container.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// index numbers the streams.
func index(stream string) (int, error) {
	switch stream {
	case Stdout:
		return 0, nil
	case Stderr:
		return 1, nil
	}
	return 0, fmt.Errorf("no stream is called %q", stream)
}

func streamName(i int) string {
	if i == 1 {
		return Stderr
	}
	return Stdout
}

// record is one decoded record; text points into the reader's buffer.
type record struct {
	time      time.Time
	stream    int
	continues bool // an earlier record
	ends      bool // the line
	text      []byte
}

func appendRecord(dst []byte, stamp string, r record) []byte {
	dst = append(dst, stamp...)
	dst = append(append(dst, ' '), streamName(r.stream)...)
	if r.ends {
		dst = append(dst, " F"...)
	} else {
		dst = append(dst, " P"...)
	}
	if r.continues {
		dst = append(dst, ":c"...)
	}
	dst = append(append(dst, ' '), r.text...)
	return append(dst, '\n')
}

// appendPieces cuts data, the next bytes of a stream, into records. open says
// whether the stream is in the middle of a line, before and after.
func appendPieces(dst []byte, stamp string, stream int, open bool, data []byte) ([]byte, bool) {
	for len(data) > 0 {
		piece, ends, skip := data, false, 0
		if nl := bytes.IndexByte(data, '\n'); nl >= 0 {
			piece, ends, skip = data[:nl], true, 1
		}
		if len(piece) > maxPiece {
			piece, ends, skip = piece[:maxPiece], false, 0
		}
		dst = appendRecord(dst, stamp, record{stream: stream, continues: open, ends: ends, text: piece})
		data, open = data[len(piece)+skip:], !ends
	}
	return dst, open
}

// parseRecord decodes a line without its newline.
func parseRecord(line []byte) (r record, ok bool) {
	r, rest, ok := parseHead(line)
	if !ok {
		return r, false
	}
	r.time, ok = parseStamp(line[:stampLen])
	r.text = rest
	return r, ok
}

// parseHead decodes all but the time; line may be cut off after the tags.
func parseHead(line []byte) (r record, rest []byte, ok bool) {
	if len(line) < tagAt+2 || line[stampLen-1] != 'Z' || line[stampLen] != ' ' || line[tagAt-1] != ' ' {
		return r, nil, false
	}
	switch string(line[stampLen+1 : tagAt-1]) {
	case Stdout:
	case Stderr:
		r.stream = 1
	default:
		return r, nil, false
	}
	switch line[tagAt] {
	case 'F':
		r.ends = true
	case 'P':
	default:
		return r, nil, false
	}
	rest = line[tagAt+1:]
	if after, found := bytes.CutPrefix(rest, []byte(":c")); found {
		r.continues, rest = true, after
	}
	if len(rest) == 0 || rest[0] != ' ' {
		return r, nil, false
	}
	return r, rest[1:], true
}

// parseStamp is time.Parse(stampLayout), ten times as fast.
func parseStamp(s []byte) (time.Time, bool) {
	if s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != '.' {
		return time.Time{}, false
	}
	ok := true
	number := func(from, to int) (n int) {
		for _, c := range s[from:to] {
			ok = ok && c >= '0' && c <= '9'
			n = n*10 + int(c-'0')
		}
		return n
	}
	t := time.Date(number(0, 4), time.Month(number(5, 7)), number(8, 10),
		number(11, 13), number(14, 16), number(17, 19), number(20, 29), time.UTC)
	return t, ok
}
