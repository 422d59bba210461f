package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"devstack/compose"

	"github.com/google/go-cmp/cmp"
)

// write makes a directory of files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "My.Project")
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func one(image string) string { return "services: {a: {image: " + image + "}}\n" }

func mustLoad(t testing.TB, o Options) (*compose.Project, []Diagnostic) {
	t.Helper()
	p, ds, err := Load(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p, ds
}

func TestDiscovery(t *testing.T) {
	dir := write(t, map[string]string{
		"docker-compose.yaml": one("d"), "docker-compose.yml": one("c"), "compose.yml": one("b"),
		"compose.override.yaml": "services: {a: {command: [over]}}", "sub/deep/x": "", "other.yaml": one("o"), "env/.env": "X=1",
	})
	p, ds := mustLoad(t, Options{WorkingDir: filepath.Join(dir, "sub/deep")})
	if p.Services["a"].Image != "b" || p.Services["a"].Command[0] != "over" || p.WorkingDir != dir || p.Name != "myproject" {
		t.Errorf("%+v", p)
	}
	if len(ds) != 1 || !strings.Contains(ds[0].Message, "several project files") {
		t.Errorf("%v", ds)
	}
	if got := p.Pos("services", "a", "image").String(); got != "../../compose.yml:1:23" {
		t.Error(got)
	}
	p, _ = mustLoad(t, Options{WorkingDir: dir, Environ: []string{"COMPOSE_FILE=other.yaml;docker-compose.yml", "COMPOSE_PATH_SEPARATOR=;", "COMPOSE_PROJECT_NAME=named"}})
	if p.Services["a"].Image != "c" || p.Name != "named" || len(p.Files) != 2 {
		t.Errorf("%+v", p)
	}
	p, _ = mustLoad(t, Options{WorkingDir: dir, Files: []string{"-"}, Stdin: strings.NewReader(one("stdin")), ProjectDirectory: "sub"})
	if p.Services["a"].Image != "stdin" || p.Name != "sub" {
		t.Errorf("%+v", p)
	}
	m, _, err := LoadModel(context.Background(), Options{WorkingDir: dir, Files: []string{"-"}, Stdin: strings.NewReader(one("'${STDIN}'"))})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := m.YAML(); err != nil || !strings.Contains(string(out), "image: ${STDIN}\n") {
		t.Errorf("%s %v", out, err)
	}
	if _, _, err := Load(context.Background(), Options{WorkingDir: t.TempDir()}); !errors.Is(err, ErrNoFile) {
		t.Error(err)
	}
	if _, _, err := Load(context.Background(), Options{WorkingDir: dir, ProjectName: "Bad Name"}); err == nil {
		t.Error("a bad project name goes through")
	}
}

func TestEnvironmentFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"compose.yaml": "services: {a: {image: \"${A}-${B}-${C}\", profiles: [x]}, b: {image: y}}",
		".env":         "A=dot\nB=dot\nCOMPOSE_PROFILES=x\n", "one.env": "A=one\nB=one", "two.env": "B=two",
	})
	image := func(o Options) string {
		t.Helper()
		o.WorkingDir = dir
		p, _ := mustLoad(t, o)
		if s, ok := p.Services["a"]; ok {
			return s.Image
		}
		return "disabled " + p.Disabled["a"].Image
	}
	for want, o := range map[string]Options{
		"dot-dot-":          {},
		"os-dot-":           {Environ: []string{"A=os"}},
		"disabled one-two-": {EnvFiles: []string{"one.env", "two.env"}},
		"disabled --1":      {Environ: []string{"COMPOSE_DISABLE_ENV_FILE=1", "C=1"}},
		"disabled one-one-": {Environ: []string{"COMPOSE_ENV_FILES=two.env,one.env"}},
		"one-one-":          {Environ: []string{"COMPOSE_ENV_FILES=one.env"}, Profiles: []string{"*"}},
		"--":                {Environ: []string{"COMPOSE_DISABLE_ENV_FILE=true"}, Services: []string{"a"}},
	} {
		if got := image(o); got != want {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
	if _, _, err := Load(context.Background(), Options{WorkingDir: dir, EnvFiles: []string{"none.env"}}); err == nil {
		t.Error("a missing --env-file goes through")
	}
}

func TestUnsetVariableWarnsOnce(t *testing.T) {
	dir := write(t, map[string]string{"compose.yaml": "services:\n  a:\n    image: \"x${NOPE}\"\n    command: $NOPE\n"})
	_, ds := mustLoad(t, Options{WorkingDir: dir})
	if len(ds) != 1 || ds[0].Pos.String() != "compose.yaml:3:14" || ds[0].Severity != SeverityWarning {
		t.Errorf("%+v", ds)
	}
}

func TestPendingKeysWarn(t *testing.T) {
	dir := write(t, map[string]string{"compose.yaml": "services:\n  a:\n    image: x\n    use_api_socket: true\n"})
	_, ds := mustLoad(t, Options{WorkingDir: dir})
	if len(ds) != 1 || ds[0].Pos.String() != "compose.yaml:4:21" || !strings.Contains(ds[0].Message, "services.a.use_api_socket is not carried out yet") {
		t.Errorf("%+v", ds)
	}
}

// TestWire sends every test project through the JSON form that the engine gets.
func TestWire(t *testing.T) {
	files, err := filepath.Glob("testdata/compat/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		p, _ := mustLoad(t, Options{Files: []string{file}, Environ: hostEnv(), Lenient: true})
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(file, err)
		}
		var back compose.Project
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(file, err)
		}
		again, err := json.Marshal(&back)
		if err != nil || !bytes.Equal(data, again) {
			t.Errorf("%s: %v\n%s", file, err, cmp.Diff(string(data), string(again)))
		}
		want, err := MarshalYAML(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := MarshalYAML(&back)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s: %s", file, d)
		}
	}
}

// TestConfigLoadsAgain loads what `config` prints and gets the same.
func TestConfigLoadsAgain(t *testing.T) {
	files, err := filepath.Glob("testdata/compat/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.Contains(file, "profiles") {
			continue // what an inactive profile holds is not printed, but may be named
		}
		p, _ := mustLoad(t, Options{Files: []string{file}, Environ: hostEnv(), Lenient: true})
		first, err := MarshalYAML(p)
		if err != nil {
			t.Fatal(err)
		}
		escaped := bytes.ReplaceAll(first, []byte("$"), []byte("$$"))
		p, _ = mustLoad(t, Options{Files: []string{"-"}, Stdin: bytes.NewReader(escaped), Environ: hostEnv(), Lenient: true})
		second, err := MarshalYAML(p)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(first), string(second)); d != "" {
			t.Errorf("%s: %s", file, d)
		}
	}
}

// TestConfigKeepsTexts sends texts that are awkward to write through `config`.
func TestConfigKeepsTexts(t *testing.T) {
	texts := []string{
		"\n", "\na", "\n\na\n", "\n  a\n b\n", "\ta\nb", " a\nb", "   \n", "a\n\n\n", "a\n \nb\n", "a\n   ", "#a\nb", "\n#a", "a: b\nc", "- a\nb",
		"a\r\nb", "a\rb", "\u0085a\nb", "\u2028a\nb", "a\n---\nb", "---\na", "...", "", " ", "~", "on", "1:30", "<<", "0x1", "\u00a0a\n",
	}
	p, _ := mustLoad(t, Options{WorkingDir: write(t, map[string]string{"compose.yaml": "services: {a: {image: x}}\n"})})
	s := p.Services["a"]
	s.Command = texts
	p.Services["a"] = s
	out, err := MarshalYAML(p)
	if err != nil {
		t.Fatal(err)
	}
	back, _ := mustLoad(t, Options{Files: []string{"-"}, Stdin: bytes.NewReader(out), Lenient: true})
	if d := cmp.Diff(texts, back.Services["a"].Command); d != "" {
		t.Errorf("%s\n%s", d, out)
	}
}

// FuzzLoad: no panic, no hang, and every fault has a message.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/compat/*.yaml", "testdata/broken/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	for _, bomb := range []string{
		"a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nservices: {d: {image: x, command: *c}}\n",
		"services: &s {a: {image: x, labels: *s}}\n",
		"x-a: &a {<<: *a}\nservices: {a: {<<: *a, image: x}}\n",
		"services: {a: {image: x, ports: [\"1-65535:1-65535\", \"1-65535:1-65535/udp\", \"1-65535:1-65535/sctp\"], scale: 4999}}\n",
	} {
		f.Add([]byte(bomb))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		done := bounded(t)
		p, ds, err := Load(context.Background(), Options{WorkingDir: dir, Files: []string{"-"}, Stdin: bytes.NewReader(data), Environ: hostEnv()})
		done()
		var faults *Error
		if errors.As(err, &faults) {
			if len(faults.Diagnostics) == 0 {
				t.Fatal("no faults in an error")
			}
			Render(io.Discard, faults.Diagnostics, true)
		}
		Render(io.Discard, ds, true)
		if err == nil {
			if _, err := MarshalYAML(p); err != nil {
				t.Fatal(err)
			}
			if _, err := MarshalJSON(p); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// bounded fails the test if what runs until its result is called takes more
// time or memory than 64 KiB of input can be worth.
func bounded(t *testing.T) func() {
	const (
		memory = 1 << 30
		limit  = 5 * time.Second
	)
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	return func() {
		var after runtime.MemStats
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > memory {
			t.Errorf("%d MiB allocated", n>>20)
		}
		if took := time.Since(began); took > limit {
			t.Errorf("took %v", took)
		}
	}
}

// TestEveryKeyIsDecoded holds the decoder against the model: each field of a
// service that has a key is set by one of the test projects.
func TestEveryKeyIsDecoded(t *testing.T) {
	set := map[string]bool{}
	files, err := filepath.Glob("testdata/compat/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		p, _ := mustLoad(t, Options{Files: []string{file}, Environ: hostEnv(), Lenient: true, Profiles: []string{"*"}})
		for _, s := range p.Services {
			v := reflect.ValueOf(s)
			for i := range v.NumField() {
				if !v.Field(i).IsZero() {
					set[v.Type().Field(i).Name] = true
				}
			}
		}
	}
	typ := reflect.TypeFor[compose.Service]()
	for i := range typ.NumField() {
		switch name := typ.Field(i).Name; name {
		case "Extends", "EnvFile", "LabelFile": // resolved; covered by compat-multi
		default:
			if !set[name] {
				t.Errorf("no test project sets %s", name)
			}
		}
	}
}
