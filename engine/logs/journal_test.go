package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string, o Options) *Journal {
	t.Helper()
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func put(t *testing.T, j *Journal, stream, text string) {
	t.Helper()
	if err := j.Append(stream, time.Now(), []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// show reads a journal as "o:text" and "e:text", with "+" for a partial entry.
func show(t *testing.T, j *Journal, f Filter) string {
	t.Helper()
	var got []string
	if err := j.Read(t.Context(), f, func(e Entry) error {
		got = append(got, word(e))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, " ")
}

func word(e Entry) string {
	s := e.Stream[3:4] + ":" + string(e.Text)
	if e.Partial {
		s += "+"
	}
	return s
}

func TestLinesAreJoined(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	put(t, j, Stdout, "one\ntwo\nthr")
	put(t, j, Stderr, "err\n")
	put(t, j, Stdout, "e")
	put(t, j, Stdout, "e\n\nfour")
	if got, want := show(t, j, Filter{Tail: All}), "o:one o:two e:err o:three o: o:four+"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTail(t *testing.T) {
	for _, size := range []int64{0, 600} { // in one file, and in several
		j := open(t, t.TempDir(), Options{MaxSize: size, MaxFiles: 1000})
		for i := range 50 {
			put(t, j, Stdout, fmt.Sprintf("%d", i))
			put(t, j, Stderr, "x\n")
			put(t, j, Stdout, "!\n")
		}
		put(t, j, Stdout, "part")
		for n := range 103 {
			var want []string
			for i := range 50 {
				// a line counts where it begins, and is told where it ends
				if begun := 100 - 2*i; n > begun {
					want = append(want, "e:x", fmt.Sprintf("o:%d!", i))
				} else if n == begun {
					want = append(want, "e:x")
				}
			}
			if n > 0 {
				want = append(want, "o:part+")
			}
			if got := show(t, j, Filter{Tail: n}); got != strings.Join(want, " ") {
				t.Fatalf("size %d: tail %d\ngot  %s\nwant %s", size, n, got, want)
			}
		}
	}
}

func TestTailOverManyBlocks(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	var all []string
	for i := range 3000 {
		line := fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%400))
		all = append(all, "o:"+line)
		put(t, j, Stdout, line+"\n")
	}
	for _, n := range []int{1, 2, 100, 577, 1000, 2999, 3000, 4000} {
		want := strings.Join(all[max(0, len(all)-n):], " ")
		if got := show(t, j, Filter{Tail: n}); got != want {
			t.Errorf("tail %d differs: %d bytes, want %d", n, len(got), len(want))
		}
	}
	if last := j.Last(2); len(last) != 2 || "o:"+string(last[0].Text) != all[2998] {
		t.Errorf("Last(2) = %v", last)
	}
}

func TestLongLinesAndBytes(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	long := bytes.Repeat([]byte("0123456789abcde\x00"), 10000) // 160 kB
	huge := bytes.Repeat([]byte{0xff, 'z', '\r'}, 800_000)     // 2.4 MB: two entries of 1 MiB and the rest
	for _, p := range [][]byte{long, []byte("\n"), huge, []byte("\n"), []byte("end\n")} {
		if err := j.Append(Stdout, time.Now(), p); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	entries := 0
	j.Read(t.Context(), Filter{Tail: All}, func(e Entry) error {
		entries++
		got = append(got, e.Text...)
		if !e.Partial {
			got = append(got, '\n')
		}
		return nil
	})
	if want := string(long) + "\n" + string(huge) + "\nend\n"; string(got) != want {
		t.Errorf("%d bytes came back, want %d", len(got), len(want))
	}
	if entries != 5 {
		t.Errorf("%d entries, want 5", entries)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{MaxSize: 500, MaxFiles: 3})
	for i := range 100 {
		put(t, j, Stdout, fmt.Sprintf("line %d\n", i))
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 3 {
		t.Errorf("%d files: %v", len(files), files)
	}
	got := j.Last(1000)
	if string(got[len(got)-1].Text) != "line 99" || len(got) < 20 || len(got) > 36 {
		t.Errorf("%d lines left, last %q", len(got), got[len(got)-1].Text)
	}
	again := open(t, dir, Options{MaxSize: 500, MaxFiles: 3})
	put(t, again, Stdout, "next\n")
	if got := show(t, again, Filter{Tail: 2}); got != "o:line 99 o:next" {
		t.Errorf("after opening again: %s", got)
	}
}

func TestCrashTearsTheLastRecord(t *testing.T) {
	sound := "o:one e:two o:three+"
	for name, torn := range map[string]string{
		"nothing":   "",
		"half":      "2026-01-02T15:04:05.123456789Z stdo",
		"no end":    "2026-01-02T15:04:05.123456789Z stdout F:c lost",
		"zeros":     strings.Repeat("\x00", 200_000),
		"nonsense":  "\x00\x00\n\x00\n\nrubbish\n",
		"long zero": strings.Repeat("\x00", 65536-13) + "\n",
	} {
		dir := t.TempDir()
		j := open(t, dir, Options{})
		put(t, j, Stdout, "one\n")
		put(t, j, Stderr, "two\n")
		put(t, j, Stdout, "thr")
		put(t, j, Stdout, "ee")
		j.Close()
		f, err := os.OpenFile(j.name(1), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(torn)
		f.Close()
		j = open(t, dir, Options{})
		if got := show(t, j, Filter{Tail: All}); got != sound {
			t.Errorf("%s: got %s, want %s", name, got, sound)
		}
		put(t, j, Stdout, "!\n") // goes on with the line
		if got := show(t, j, Filter{Tail: 1}); got != "o:three!" {
			t.Errorf("%s: line goes on as %s", name, got)
		}
	}
}

func TestSinceUntil(t *testing.T) {
	j := open(t, t.TempDir(), Options{MaxSize: 300, MaxFiles: 100})
	base := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for i := range 40 {
		j.Append(Stdout, base.Add(time.Duration(i)*time.Second), fmt.Appendf(nil, "%d\n", i))
	}
	if got := show(t, j, Filter{Tail: All, Since: base.Add(30 * time.Second), Until: base.Add(32 * time.Second)}); got != "o:30 o:31 o:32" {
		t.Errorf("got %s", got)
	}
	if got := show(t, j, Filter{Tail: 2, Since: base.Add(39 * time.Second)}); got != "o:39" {
		t.Errorf("got %s", got)
	}
	if e := j.Last(1)[0]; !e.Time.Equal(base.Add(39 * time.Second)) {
		t.Errorf("time %s", e.Time)
	}
}

func TestFollow(t *testing.T) {
	j := open(t, t.TempDir(), Options{MaxSize: 400, MaxFiles: 2}) // the followers see files go
	const followers, lines = 3, 200
	got := make(chan string)
	errs := make(chan error, followers)
	for range followers {
		go func() {
			errs <- j.Read(context.Background(), Filter{Tail: All, Follow: true}, func(e Entry) error {
				got <- word(e)
				return nil
			})
		}()
	}
	for i := range lines {
		put(t, j, Stdout, fmt.Sprintf("%d\n", i))
		for range followers { // each has it before the next is written
			if w := <-got; w != fmt.Sprintf("o:%d", i) {
				t.Fatalf("line %d: got %s", i, w)
			}
		}
	}
	put(t, j, Stderr, "the end")
	j.Close()
	for range followers {
		if w := <-got; w != "e:the end+" {
			t.Errorf("at the end: %s", w)
		}
	}
	for range followers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// One Read goes on where another has ended, and nothing comes twice.
func TestReadFrom(t *testing.T) {
	j := open(t, t.TempDir(), Options{MaxSize: 200, MaxFiles: 100})
	var from Position
	if got := show(t, j, Filter{Tail: All, From: &from}); got != "" {
		t.Error(got)
	}
	for i, tail := range []int{All, 0, 1, All} {
		put(t, j, Stdout, fmt.Sprintf("a%d\nb%d\n", i, i)) // now and then in a new file
		want := fmt.Sprintf("o:a%d o:b%d", i, i)
		if got := show(t, j, Filter{Tail: tail, From: &from}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := show(t, j, Filter{Tail: All, From: &from}); got != "" {
			t.Errorf("again: %q", got)
		}
	}
}

func TestFollowEnds(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	put(t, j, Stdout, "one\n")
	none := func(Entry) error { return nil }
	ctx, cancel := context.WithCancel(t.Context())
	if err := j.Read(ctx, Filter{Tail: All, Follow: true}, func(Entry) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	stop := make(chan struct{})
	close(stop)
	if err := j.Read(t.Context(), Filter{Follow: true, Stop: stop}, none); err != nil {
		t.Errorf("stopped: %v", err)
	}
	if err := j.Read(t.Context(), Filter{Follow: true, Until: time.Now().Add(5 * time.Millisecond)}, none); err != nil {
		t.Errorf("until: %v", err)
	}
	stop = make(chan struct{})
	if err := j.Read(t.Context(), Filter{Follow: true, Stop: stop, Until: time.Now()}, none); err != nil {
		t.Errorf("until with stop: %v", err)
	}
	enough := errors.New("enough")
	if err := j.Read(t.Context(), Filter{Tail: All}, func(Entry) error { return enough }); err != enough {
		t.Errorf("callback's error: %v", err)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	var reported []error
	j := open(t, dir, Options{OnError: func(err error) { reported = append(reported, err) }})
	put(t, j, Stdout, "one\n")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	good := j.file
	j.file = full // a real device whose disk is always full
	for range 3 {
		if err := j.Append(Stdout, time.Now(), []byte("lost\n")); err == nil {
			t.Error("no error from a full disk")
		}
	}
	full.Close()
	j.file = good
	put(t, j, Stdout, "two\n")
	if got := show(t, j, Filter{Tail: All}); got != "o:one o:[devstack: 3 lines lost: disk full] o:two" {
		t.Error(got)
	}
	if len(reported) != 1 {
		t.Errorf("%d reports of one trouble: %v", len(reported), reported)
	}
}

func TestLostLinesAreCounted(t *testing.T) {
	tests := []struct {
		name         string
		before, lost string // pieces, divided by |
		after, want  string
	}{
		{"a line", "a\n", "b\n", "c\n", "o:a o:[devstack: 1 line lost: disk full] o:c"},
		{"in pieces", "a\n", "b|b|b\nc|c\n", "d\n", "o:a o:[devstack: 2 lines lost: disk full] o:d"},
		{"the end of a line", "a", "a\nb\n", "c\n", "o:a o:[devstack: 2 lines lost: disk full] o:c"},
		{"the beginning of a line", "a\n", "b\nc", "c\nd\n", "o:a o:[devstack: 2 lines lost: disk full] o:c o:d"},
		{"nobody writes again", "a\n", "b\n", "", "o:a o:[devstack: 1 line lost: disk full]"},
		{"much", "", strings.Repeat("x\n", 100<<10), "", "o:[devstack: 102400 lines lost: disk full]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := open(t, t.TempDir(), Options{})
			put(t, j, Stdout, tt.before)
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer full.Close()
			good := j.file
			j.file = full
			for piece := range strings.SplitSeq(tt.lost, "|") {
				if err := j.Append(Stdout, time.Now(), []byte(piece)); err == nil {
					t.Error("no error from a full disk")
				}
			}
			j.file = good
			put(t, j, Stdout, tt.after)
			for range 2 { // it is said once
				if got := show(t, j, Filter{Tail: All}); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			}
		})
	}
}

func FuzzPieces(f *testing.F) {
	f.Add([]byte("a\nb"), []byte("c\n"))
	f.Add(bytes.Repeat([]byte("x"), maxPiece+1), []byte("\n\n"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		dst, open := appendPieces(nil, stampLayout, 0, false, a)
		dst, _ = appendPieces(dst, stampLayout, 0, open, b)
		var back []byte
		for line := range bytes.Lines(dst) {
			if len(line) > maxRecord {
				t.Fatalf("record of %d bytes", len(line))
			}
			r, rest, ok := parseHead(bytes.TrimSuffix(line, []byte("\n")))
			if !ok {
				t.Fatalf("record %q", line)
			}
			if r.continues != (len(back) > 0 && back[len(back)-1] != '\n') && len(rest) > 0 {
				t.Fatalf("record %q continues=%v", line, r.continues)
			}
			if back = append(back, rest...); r.ends {
				back = append(back, '\n')
			}
		}
		if want := string(a) + string(b); string(back) != want {
			t.Fatalf("got %q, want %q", back, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("2026-01-02T15:04:05.123456789Z stdout F hello"))
	f.Add([]byte("2026-01-02T15:04:05.123456789Z stderr P:c "))
	f.Fuzz(func(t *testing.T, line []byte) {
		if r, ok := parseRecord(line); ok {
			want, err := time.Parse(stampLayout, string(line[:stampLen]))
			if err == nil && !want.Equal(r.time) {
				t.Errorf("%q: time %s, want %s", line, r.time, want)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	j, _ := Open(b.TempDir(), Options{})
	defer j.Close()
	p := bytes.Repeat([]byte(strings.Repeat("y", 99)+"\n"), 600)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		j.Append(Stdout, time.Now(), p)
	}
}

func BenchmarkRead(b *testing.B) {
	j, _ := Open(b.TempDir(), Options{MaxSize: 1 << 30})
	defer j.Close()
	p := bytes.Repeat([]byte(strings.Repeat("y", 99)+"\n"), 600)
	for range 100 {
		j.Append(Stdout, time.Now(), p)
	}
	b.SetBytes(int64(100 * len(p)))
	for b.Loop() {
		j.Read(context.Background(), Filter{Tail: All}, func(Entry) error { return nil })
	}
}
