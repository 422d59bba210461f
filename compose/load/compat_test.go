package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	theirenv "github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/sirupsen/logrus"
	"golang.org/x/tools/txtar"
	"gopkg.in/yaml.v3"
)

// The oracle of these tests is compose-go, the loader of Docker Compose.

func hostEnv() []string {
	return []string{"HOME=/home/u", "FROM_HOST=host", "EMPTY=", "TRUE=true", "MEM=5m", "CPUS=1.5", "TWO=2", "PORT=8080", "TAG=t1"}
}

func TestMain(m *testing.M) {
	theirenv.RegisterFormat("raw", rawEnv) // as Docker Compose does
	logrus.SetLevel(logrus.ErrorLevel)
	os.Exit(m.Run())
}

// rawEnv reads an env_file as it stands, as docker run --env-file does.
func rawEnv(r io.Reader, _ string, vars map[string]string, look func(string) (string, bool)) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := strings.TrimLeft(lines.Text(), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			if value, ok = look(key); !ok {
				continue
			}
		}
		vars[key] = value
	}
	return lines.Err()
}

// oracle loads with compose-go as Docker Compose does.
func oracle(o Options) (asJSON, asYAML []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("compose-go panics: %v", p)
		}
	}()
	opts, err := cli.NewProjectOptions(o.Files,
		cli.WithWorkingDirectory(o.ProjectDirectory),
		cli.WithEnv(o.Environ),
		cli.WithEnvFiles(o.EnvFiles...),
		cli.WithDotEnv,
		cli.WithConfigFileEnv,
		cli.WithDefaultConfigPath,
		cli.WithEnvFiles(o.EnvFiles...),
		cli.WithDotEnv,
		cli.WithDefaultProfiles(o.Profiles...),
		cli.WithName(o.ProjectName),
	)
	if err != nil {
		return nil, nil, err
	}
	p, err := opts.LoadProject(context.Background())
	if err != nil {
		return nil, nil, err
	}
	if asYAML, err = p.MarshalYAML(); err != nil {
		return nil, nil, err
	}
	asJSON, err = p.MarshalJSON()
	return asJSON, asYAML, err
}

// tidyTree takes out of a tree what is known and meant to differ:
//   - the order of ports and of lists that have none;
//   - x-* keys in JSON, which compose-go drops below the top level;
//   - mem_swappiness: 0, which compose-go takes for unset;
//   - weight_device, which compose-go prints with capital keys.
func tidyTree(v any, key string, depth int, isJSON bool) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			if isJSON && depth > 0 && strings.HasPrefix(k, "x-") && key != "services" {
				continue
			}
			if key == "weight_device" || strings.HasPrefix(key, "device_") {
				k = strings.ToLower(k)
			}
			if k == "mem_swappiness" && e == "0" {
				continue
			}
			out[k] = tidyTree(e, k, depth+1, isJSON)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = tidyTree(e, key, depth+1, isJSON)
		}
		if key == "ports" || key == "ssh" {
			sort.Slice(out, func(i, j int) bool { return fmt.Sprint(out[i]) < fmt.Sprint(out[j]) })
		}
		return out
	case int:
		return float64(x)
	case uint64:
		return float64(x)
	}
	return v
}

// differences lists where two trees differ.
func differences(path string, want, got any) []string {
	w, wok := want.(map[string]any)
	g, gok := got.(map[string]any)
	if wok && gok {
		var out []string
		keys := map[string]bool{}
		for k := range w {
			keys[k] = true
		}
		for k := range g {
			keys[k] = true
		}
		var sorted []string
		for k := range keys {
			sorted = append(sorted, k)
		}
		sort.Strings(sorted)
		for _, k := range sorted {
			wv, wok := w[k]
			gv, gok := g[k]
			switch {
			case !wok:
				out = append(out, fmt.Sprintf("%s.%s: only ours: %v", path, k, gv))
			case !gok:
				out = append(out, fmt.Sprintf("%s.%s: only theirs: %v", path, k, wv))
			default:
				out = append(out, differences(path+"."+k, wv, gv)...)
			}
		}
		return out
	}
	if reflect.DeepEqual(want, got) {
		return nil
	}
	return []string{fmt.Sprintf("%s:\n\ttheirs %#v\n\tours   %#v", path, want, got)}
}

// compare loads a project with both loaders. With a reason why they are meant
// to differ it demands that they do, so that the list of reasons stays true.
func compare(t *testing.T, o Options, mustLoad bool, why string) {
	t.Helper()
	found := compareProjects(t, o, mustLoad)
	switch {
	case why != "" && len(found) == 0:
		t.Errorf("no difference any more: take the file off the list (%s)", why)
	case why != "":
		t.Logf("differs on purpose: %s\n%s", why, strings.Join(found, "\n"))
	default:
		for _, d := range found {
			t.Error(d)
		}
	}
}

func compareProjects(t *testing.T, o Options, mustLoad bool) (found []string) {
	t.Helper()
	t.Setenv("HOME", "/home/u")
	wantJSON, wantYAML, oracleErr := oracle(o)
	o.Lenient = oracleErr == nil // compose-go looks for no config or secret and no taken port
	p, _, err := Load(context.Background(), o)
	switch {
	case oracleErr != nil && err != nil && !mustLoad:
		return nil
	case oracleErr != nil && err != nil:
		return []string{fmt.Sprintf("neither loads: %v\n%v", oracleErr, err)}
	case oracleErr != nil:
		return []string{fmt.Sprintf("compose-go fails, we do not: %v", oracleErr)}
	case err != nil:
		return []string{fmt.Sprintf("we fail, compose-go does not: %v", err)}
	}
	for _, form := range []struct {
		name   string
		want   []byte
		got    func() ([]byte, error)
		decode func([]byte, any) error
	}{
		{"JSON", wantJSON, func() ([]byte, error) { return MarshalJSON(p) }, json.Unmarshal},
		{"YAML", wantYAML, func() ([]byte, error) { return MarshalYAML(p) }, yaml.Unmarshal},
	} {
		got, err := form.got()
		if err != nil {
			t.Fatal(err)
		}
		var w, g any
		if err := form.decode(form.want, &w); err != nil {
			t.Fatal(err)
		}
		if err := form.decode(got, &g); err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		isJSON := form.name == "JSON"
		if isJSON {
			delete(g.(map[string]any), "models") // compose-go leaves them out of JSON
			delete(g.(map[string]any), "jobs")
		}
		delete(w.(map[string]any), "jobs")
		found = append(found, differences(form.name, tidyTree(w, "", 0, isJSON), tidyTree(g, "", 0, isJSON))...)
	}
	return found
}

// TestCompat loads single files with both loaders.
func TestCompat(t *testing.T) {
	files, err := filepath.Glob("testdata/compat/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			abs, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, Options{Files: []string{abs}, Environ: hostEnv()}, true, knownDifferences()[filepath.ToSlash(file)])
		})
	}
}

// TestCompatMulti loads projects of several files with both loaders.
func TestCompatMulti(t *testing.T) {
	archives, err := filepath.Glob("testdata/compat-multi/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".txtar"), func(t *testing.T) {
			dir, args := unpack(t, archive)
			o := Options{Environ: hostEnv(), WorkingDir: dir, Profiles: args["profiles"]}
			for _, f := range args["files"] {
				o.Files = append(o.Files, filepath.Join(dir, f))
			}
			t.Chdir(dir)
			compare(t, o, true, knownDifferences()[filepath.ToSlash(archive)])
		})
	}
}

// unpack writes an archive to a directory; its file "args" holds options.
func unpack(t *testing.T, archive string) (dir string, args map[string][]string) {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	dir, args = filepath.Join(t.TempDir(), "project"), map[string][]string{}
	for _, f := range a.Files {
		if f.Name == "args" {
			for _, line := range strings.Split(strings.TrimSpace(string(f.Data)), "\n") {
				k, v, _ := strings.Cut(line, ":")
				args[k] = strings.Fields(v)
			}
			continue
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, args
}
