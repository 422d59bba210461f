package load

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"devstack/compose"

	cgdotenv "github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"
	"github.com/google/go-cmp/cmp"
)

func vars(name string) (string, bool) {
	v, ok := map[string]string{"A": "a", "B": "b", "EMPTY": "", "DOLLAR": "$A"}[name]
	return v, ok
}

func TestExpand(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"$A ${A} $$A $${A}":           "a a $A ${A}",
		"$A$B-$AB":                    "ab-",
		"${X:-d}${X-d}${EMPTY:-d}":    "ddd",
		"${EMPTY-d}":                  "",
		"${A:+r}${EMPTY:+r}${X:+r}":   "r",
		"${EMPTY+r}${X+r}":            "r",
		"${X:-${Y:-$A}}":              "a",
		"${X:-${Y:-${B}-t}u}v":        "b-tuv",
		"${A:?no}":                    "a",
		"${EMPTY?no}":                 "",
		"a$ b$":                       "a$ b$",
		"$(cmd) $1 $-":                "$(cmd) $1 $-",
		"${DOLLAR}":                   "$A",
		`${X:-{"k": {"n": 1}}}`:       `{"k": {"n": 1}}`,
		"${X:-{}":                     "{",
		"${X:-$$A}":                   "$A",
		"${X:-a\nb}":                  "a\nb",
		"${X:-}":                      "",
		"${X:-:?}":                    ":?",
		"${_a1}":                      "",
		"pre${A}post":                 "preapost",
		"${A:-unused ${never:?fail}}": "a",
	} {
		got, bad := expand(in, vars, nil)
		if bad != nil || got != want {
			t.Errorf("expand(%q) = %q, %v; want %q", in, got, bad, want)
		}
	}
}

func TestExpandFaults(t *testing.T) {
	for in, part := range map[string]string{
		"x ${A":                "${A",
		"x ${} y":              "${}",
		"${1A}":                "${1A}",
		"ab${A!}cd":            "${A!}",
		"x${X:?why}":           "${X:?why}",
		"x${X:-y${Z?why $A}}z": "${Z?why $A}",
		"${A B}":               "${A B}",
	} {
		_, bad := expand(in, vars, nil)
		if bad == nil {
			t.Errorf("expand(%q): no fault", in)
		} else if got := in[bad.at : bad.at+bad.length]; got != part {
			t.Errorf("expand(%q): fault at %q, want %q", in, got, part)
		}
	}
	deep := strings.Repeat("${X:-", 100000) + strings.Repeat("}", 100000)
	if _, bad := expand(deep, vars, nil); bad == nil {
		t.Error("deep nesting goes through")
	}
}

func parseEnv(s string) (map[string]string, *report) {
	out, r := map[string]string{}, &report{}
	dotenv(&source{name: ".env", data: []byte(s)}, out, vars, r)
	return out, r
}

func TestDotenvPlaces(t *testing.T) {
	_, r := parseEnv("OK=1\nA B=2\nM=\"x\ny\"\n%=3\nX=${Q:?need q}\nLAST='open\n")
	var got []string
	for _, d := range r.faults {
		got = append(got, d.String())
	}
	want := []string{
		`.env:2:1: error: key "A B" contains a space`,
		`.env:5:1: error: unexpected character "%" in variable name "%=3"`,
		`.env:6:3: error: required variable Q is missing a value: need q`,
		`.env:7:6: error: the quoted value is never closed`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestBombs: what grows without bound is a fault, at once.
func TestBombs(t *testing.T) {
	var b strings.Builder
	b.WriteString("V0=xxxxxxxxxx\n")
	for i := 1; i < 2000; i++ {
		fmt.Fprintf(&b, "V%d=$V%d$V%d\n", i, max(i-1, 0)%21, max(i-1, 0)%21)
	}
	if _, r := parseEnv(b.String()); len(r.faults) == 0 {
		t.Error("a file that doubles goes through")
	}
	var many strings.Builder
	many.WriteString("services:\n  a:\n    image: x\n")
	for i := range 5000 {
		fmt.Fprintf(&many, "    nokey%d: x\n", i)
	}
	start := time.Now()
	_, _, err := Load(context.Background(), Options{Files: []string{"-"}, Stdin: strings.NewReader(many.String())})
	var faults *Error
	if !errors.As(err, &faults) || len(faults.Diagnostics) != maxFaults+1 {
		t.Error(err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("5000 faults take %v", d)
	}
}

func TestPeriodsAndSizes(t *testing.T) {
	for in, want := range map[string]time.Duration{"1m30s": 90 * time.Second, "1.5h": 90 * time.Minute, "2d": 48 * time.Hour, "1w": 168 * time.Hour, "0": 0, "10ms": 10 * time.Millisecond, "-5s": -5 * time.Second} {
		if got, err := parsePeriod(in); err != nil || got != want {
			t.Errorf("parsePeriod(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "5", "x", "5 s", "1.2.3s", "s", "-", "99999999999w"} {
		if got, err := parsePeriod(in); err == nil {
			t.Errorf("parsePeriod(%q) = %v", in, got)
		}
	}
	for _, in := range []string{"1", "1k", "1kb", "1KiB", "1.5g", "2 mb", "3 gib", "100b", "0", "5t", "1p"} {
		want, _ := units.RAMInBytes(in)
		if got, err := compose.ParseBytes(in); err != nil || int64(got) != want {
			t.Errorf("ParseBytes(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "1x", "1kk", "-5m", "1 2m", "nanb", "infk", "1e40", "9999999p"} {
		if got, err := compose.ParseBytes(in); err == nil {
			t.Errorf("ParseBytes(%q) = %v", in, got)
		}
	}
}

// oracleToo is off where fuzzing is to find panics, hangs and floods alone: a
// difference to compose-go is worth a look, and not a failure of everybody's run.
var oracleToo = flag.Bool("oracle", true, "compare what is fuzzed with compose-go")

// FuzzExpand: no panic, and where compose-go and we both accept a text without
// braces inside braces, we agree.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$A ${B:-x}", "${X:?e}", "$${A}", "${X:-${Y-}}", "${", "$", "${A:+{}}", "${X:-{\"a\":1}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, bad := expand(s, vars, nil)
		if bad != nil {
			if bad.at < 0 || bad.length < 0 || bad.at+bad.length > len(s) {
				t.Fatalf("fault of %q at %d+%d", s, bad.at, bad.length)
			}
			return
		}
		if strings.Count(s, "{") > 1 || strings.Count(s, "}") > 1 || strings.ContainsAny(s, "\n\r") || !isASCII(s) {
			return
		}
		if !*oracleToo {
			return
		}
		want, err := template.Substitute(s, vars)
		if err == nil && got != want {
			t.Fatalf("expand(%q) = %q, compose-go %q", s, got, want)
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// FuzzDotenv: no panic, faults have places, and where compose-go accepts a
// file we read the same.
func FuzzDotenv(f *testing.F) {
	for _, s := range []string{"A=1", "export A='x'\nB=\"a\\nb\"", "A", "A: b # c", "X=${A}\n#c\n", "A=\"multi\nline\"", "\ufeffA=1", "A=\\$x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s += "\n" // compose-go loses a name alone on a last line without an end
		got, r := parseEnv(s)
		for _, d := range r.faults {
			if !d.Pos.IsValid() {
				t.Fatalf("fault without a place: %v", d)
			}
		}
		if !*oracleToo || len(r.faults) > 0 || !isASCII(s) || strings.ContainsAny(s, "{\r\v\f\x00") {
			return
		}
		want, err := dotenvOracle(s)
		if err != nil {
			return
		}
		delete(want, "")
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%q: %s", s, d)
		}
	})
}

func dotenvOracle(s string) (map[string]string, error) {
	return cgdotenv.UnmarshalWithLookup(s, func(name string) (string, bool) { return vars(name) })
}

// FuzzPort: no panic; we accept what compose-go accepts, and expand it alike.
func FuzzPort(f *testing.F) {
	for _, s := range []string{"80", "80:80", "1-3:4-6/udp", "127.0.0.1::80", "[::1]:1:2", "::1:2:3", "8000-9000:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parsePortSpec(s)
		if !*oracleToo {
			return
		}
		want, oracleErr := types.ParsePortConfig(s)
		if err == nil && oracleErr == nil && len(got) != len(want) {
			t.Fatalf("%q: %v, compose-go %v", s, got, want)
		}
		if (err == nil) != (oracleErr == nil) && isASCII(s) && !strings.ContainsAny(s, "+[]%_") {
			t.Fatalf("%q: %v, compose-go: %v", s, err, oracleErr)
		}
	})
}

// FuzzMount: no panic; the parts are those that compose-go finds.
func FuzzMount(f *testing.F) {
	for _, s := range []string{"/a", "a:/b", "./a:/b:ro,z", "c:\\x:/y", "a", "ab", "a:b:c:d", "::", "~/x:/y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := splitMount(s)
		if !*oracleToo {
			return
		}
		want, oracleErr := format.ParseVolume(s)
		if err != nil || oracleErr != nil || len(s) < 3 || !isASCII(s) || strings.ContainsAny(s, "${}\x00") {
			return
		}
		if got.source != want.Source || got.target != want.Target {
			t.Fatalf("%q: %+v, compose-go %+v", s, got, want)
		}
	})
}

func TestVariablesOf(t *testing.T) {
	for text, want := range map[string]string{
		"${A:?no}-$B":       "A B", // also where the fault would end the expansion
		"${A:-${B-$C}}${A}": "A B C",
		"${A:+${B}} $$C":    "A B",
	} {
		if got := strings.Join(variablesOf(text), " "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	n := 0
	variablesIn(strings.Repeat("${A:-", 1000)+strings.Repeat("}", 1000), func(Variable) { n++ })
	if n != maxNesting+1 {
		t.Errorf("%d variables of a text that is nested too deeply", n)
	}
}
