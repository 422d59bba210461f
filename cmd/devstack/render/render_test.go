package render

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"devstack/engine/api"
)

func TestLogsColoursAndWidths(t *testing.T) {
	var out, errOut bytes.Buffer
	l := NewLogs(&out, &errOut, LogOptions{Style: Coloured, Split: true}, "b-1", "a-1")
	_ = l.Line(api.LogLine{Container: "a-1", Text: "x"})
	_ = l.Line(api.LogLine{Container: "longer-1", Text: "y", Stream: "stderr"})
	_ = l.Line(api.LogLine{Container: "b-1", Text: "z"})
	l.Status("b-1", "exited with code 0")
	want := "\x1b[33ma-1  | \x1b[0mx\n" +
		"\x1b[36mb-1       | \x1b[0mz\n" +
		"\x1b[36mb-1 exited with code 0\x1b[0m\n"
	if out.String() != want {
		t.Errorf("stdout %q, want %q", out.String(), want)
	}
	if want := "\x1b[32mlonger-1  | \x1b[0my\n"; errOut.String() != want {
		t.Errorf("stderr %q, want %q", errOut.String(), want)
	}
}

func TestRainbow(t *testing.T) {
	var got []string
	for i := range 11 {
		got = append(got, rainbow(i))
	}
	const want = "36 33 32 35 34 36;1 33;1 32;1 35;1 34;1 36"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("colours %s, want %s", s, want)
	}
}

func TestPlainProgressSkipsRepetitions(t *testing.T) {
	var b bytes.Buffer
	d := NewProgress(&b, ProgressOptions{Mode: ModePlain, Prefix: "DRY-RUN MODE - ", Now: time.Now})
	for range 3 {
		d.Progress(api.Progress{ID: "aaaa", State: api.Working, Text: "Downloading", Current: 1})
	}
	d.Progress(api.Progress{ID: "aaaa", State: api.Failed, Text: "Error", Detail: "two\nlines\x1b[31m"})
	d.Close()
	want := "DRY-RUN MODE -  aaaa Downloading\nDRY-RUN MODE -  aaaa Error two lines [31m\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestTemplate(t *testing.T) {
	rows := []Container{Row(api.Container{Name: "a", Labels: map[string]string{"x.team": "blue"}}, time.Now(), true)}
	tests := map[string]string{
		`{{.Name}}\t{{.Label "x.team"}}`:                    "a\tblue\n",
		`table {{.Name}}\t{{.Label "x.team"}}`:              "NAME      TEAM\na         blue\n",
		`{{upper .Name}}{{pad .Name 1 1}}`:                  "A a \n",
		`{{json .Labels}} {{join (split .Labels ".") "/"}}`: "\"x.team=blue\" x/team=blue\n",
	}
	for format, want := range tests {
		var b bytes.Buffer
		if err := Containers(&b, format, rows); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if b.String() != want {
			t.Errorf("%s: %q, want %q", format, b.String(), want)
		}
	}
}

func TestEllipsis(t *testing.T) {
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöüß", 3, "äö…"}, {"ab", 1, "…"}, {"ab", 0, "ab"}} {
		if got := Ellipsis(tt.text, tt.n); got != tt.want {
			t.Errorf("Ellipsis(%q, %d) = %q, want %q", tt.text, tt.n, got, tt.want)
		}
	}
}

func TestTablesFitTheTerminal(t *testing.T) {
	headers := []string{"NAME", "IMAGE", "COMMAND", "PORTS"}
	rows := [][]string{
		{"a-long-name-of-a-container-1", "registry.example/team/product/image:1.2.3", "\"sleep\"", "127.0.0.1:8080->80/tcp"},
		{"b-1", "ü", strings.Repeat("x", 30), ""},
	}
	for _, cols := range []int{200, 100, 80, 10} {
		var b bytes.Buffer
		if err := Table(Fit(&b, cols), headers, rows); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, " \n")); n > cols && cols > 70 {
				t.Errorf("%d columns: a line of %d:\n%s", cols, n, line)
			}
		}
		if !strings.Contains(b.String(), rows[0][0]) {
			t.Errorf("%d columns: the name is cut:\n%s", cols, b.String())
		}
		if whole := strings.Contains(b.String(), rows[0][1]); whole != (cols == 200) {
			t.Errorf("%d columns: the image is whole: %v", cols, whole)
		}
	}
}
