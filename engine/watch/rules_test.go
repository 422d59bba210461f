package watch

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"devstack/compose"
)

// world is the files that a project is compiled against, below /p.
func world(files ...string) Options {
	m := fstest.MapFS{}
	for _, f := range files {
		name, text, _ := strings.Cut(f, "=")
		m["p/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Options{
		ReadFile: func(p string) ([]byte, error) { return m.ReadFile(strings.TrimPrefix(p, "/")) },
		Stat:     func(p string) (fs.FileInfo, error) { return m.Stat(strings.TrimPrefix(p, "/")) },
	}
}

func project(services map[string]compose.Service) *compose.Project {
	return &compose.Project{Name: "p", Services: services}
}

func rules(t *testing.T, s compose.Service, o Options) *Rules {
	t.Helper()
	r, findings := Compile(project(map[string]compose.Service{"web": s}), o)
	for _, f := range findings {
		t.Errorf("finding: %s (%s)", f.Message, f.Hint)
	}
	return r
}

func hits(r *Rules, path string) string {
	var out []string
	for _, h := range r.Match(path) {
		out = append(out, strings.TrimSpace(h.Rule.Action+" "+h.Target))
	}
	return strings.Join(out, ", ")
}

func declared(rules ...compose.WatchRule) compose.Service {
	return compose.Service{Build: &compose.Build{Context: "/p"}, Develop: &compose.Develop{Watch: rules}}
}

func TestMatch(t *testing.T) {
	for name, c := range map[string]struct {
		service compose.Service
		world   Options
		want    map[string]string
	}{
		"directory, ignore": {
			declared(
				compose.WatchRule{Path: "/p/src", Action: Sync, Target: "/app/src/", Ignore: []string{"node_modules/", "**/*.test.js", "!keep.test.js"}},
				compose.WatchRule{Path: "/p/package.json", Action: Rebuild},
			),
			world("src/a.js", "package.json"),
			map[string]string{
				"/p/src/a.js": "sync /app/src/a.js", "/p/src/x/b.js": "sync /app/src/x/b.js", "/p/src": "sync /app/src",
				"/p/package.json": "rebuild", "/p/package.json.bak": "", "/p/srcs/a.js": "", "/p/other": "",
				"/p/src/node_modules/x": "", "/p/src/sub/node_modules/x": "sync /app/src/sub/node_modules/x",
				"/p/src/x/a.test.js": "", "/p/src/keep.test.js": "sync /app/src/keep.test.js",
				"/p/src/.a.js.swp": "", "/p/src/4913": "", "/p/src/a.js~": "", "/p/src/.git/HEAD": "", "/p/src/.idea/x": "", "/p/src/.swp": "sync /app/src/.swp",
			},
		},
		"include": {
			declared(compose.WatchRule{Path: "/p", Action: SyncRestart, Target: "/app", Include: []string{"**/*.py", "conf/"}}),
			world(),
			map[string]string{"/p/a.py": "sync+restart /app/a.py", "/p/x/y/a.py": "sync+restart /app/x/y/a.py", "/p/a.txt": "", "/p/conf/x": "sync+restart /app/conf/x"},
		},
		"glob": {
			declared(
				compose.WatchRule{Path: "/p/conf/*.yaml", Action: Sync, Target: "/etc/app"},
				compose.WatchRule{Path: "/p/**/requirements*.txt", Action: Rebuild},
				compose.WatchRule{Path: "/p/a[1].txt", Action: Restart}, // exists under that name
			),
			world("a[1].txt"),
			map[string]string{
				"/p/conf/a.yaml": "sync /etc/app/a.yaml", "/p/conf/x/a.yaml": "", "/p/conf/a.yml": "",
				"/p/requirements.txt": "rebuild", "/p/x/y/requirements-dev.txt": "rebuild", "/p/a[1].txt": "restart", "/p/a1.txt": "",
			},
		},
		".dockerignore": {
			declared(
				compose.WatchRule{Path: "/p/src", Action: Sync, Target: "/app"},
				compose.WatchRule{Path: "/p", Action: Rebuild},
			),
			world(".dockerignore=# comment\nsrc/gen\n*.md\n!README.md\n", "src/x"),
			map[string]string{
				"/p/src/gen/x": "", "/p/src/a.md": "sync /app/a.md, rebuild", "/p/README.md": "rebuild", "/p/NOTES.md": "",
			},
		},
		"no build, bind": {
			compose.Service{
				Volumes: []compose.Mount{{Type: compose.MountBind, Source: "/p/src", Target: "/app"}},
				Develop: &compose.Develop{Watch: []compose.WatchRule{
					{Path: "/p/src", Action: SyncRestart, Target: "/app"},
					{Path: "/p/src/lib", Action: SyncRestart, Target: "/elsewhere"},
					{Path: "/p/src/conf", Action: Restart},
				}},
			},
			world(".dockerignore=*"),
			map[string]string{"/p/src/a": "sync+restart", "/p/src/lib/a": "sync+restart, sync+restart /elsewhere/a", "/p/src/conf/a": "sync+restart, restart"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := rules(t, c.service, c.world)
			got := map[string]string{}
			for p := range c.want {
				got[p] = hits(r, p)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, root := range r.Roots() {
				for p, want := range c.want {
					if rel, ok := Below(root.Path, p); ok && rel != "" && want != "" {
						if skipped(root, rel) {
							t.Errorf("%s is not watched", p)
						}
					}
				}
			}
		})
	}
}

// skipped says whether a file is out of a watcher's sight.
func skipped(r Root, rel string) bool {
	for i, c := range rel {
		if c == '/' && r.Skip(rel[:i], true) {
			return true
		}
	}
	return r.Skip(rel, false)
}

func TestRoots(t *testing.T) {
	o := world(".dockerignore=node_modules\nvendor/*\n!vendor/ours\n", "package.json", "Dockerfile", "sub/node_modules/pkg/index.js")
	s := declared(
		compose.WatchRule{Path: "/p", Action: Sync, Target: "/app", Ignore: []string{"sub/"}},
		compose.WatchRule{Path: "/p/sub/node_modules/pkg", Action: Restart},
		compose.WatchRule{Path: "/p/conf/*/x.yaml", Action: Restart},
		compose.WatchRule{Path: "/q/one.txt", Action: Restart},
		compose.WatchRule{Path: "/q-2", Action: Restart},
		compose.WatchRule{Path: "/q", Action: Restart, Ignore: []string{"*"}},
		compose.WatchRule{Path: "/r/*/src/*.go", Action: Restart},
	)
	r := rules(t, s, o)
	var got []string
	for _, root := range r.Roots() {
		got = append(got, root.Path)
	}
	if want := []string{"/p", "/q", "/q-2", "/r"}; !slices.Equal(got, want) {
		t.Fatalf("roots %v, not %v", got, want)
	}
	roots := r.Roots()
	for where, want := range map[string]bool{
		"0 a.txt": false, "0 node_modules/": true, "0 node_modules/x": true, "0 vendor/": false, "0 vendor/theirs/": true, "0 vendor/ours/": false,
		"0 .git/": true, "0 sub/": false, "0 sub/a": true, "0 sub/other/": true, "0 sub/node_modules/": false, "0 sub/node_modules/x/": true,
		"0 sub/node_modules/pkg/": false, "0 sub/node_modules/pkg/deep/x": false,
		"1 one.txt": false, "1 two.txt": true, "1 dir/": true,
		"3 a/": false, "3 a/src/": false, "3 a/bin/": true, "3 a/src/x.go": false, "3 a/src/x.c": true, "3 a/src/dir.go/": false, "3 a/src/dir/": true,
	} {
		n, rel, _ := strings.Cut(where, " ")
		dir := strings.HasSuffix(rel, "/")
		if got := roots[n[0]-'0'].Skip(strings.TrimSuffix(rel, "/"), dir); got != want {
			t.Errorf("skip %s: %v", where, got)
		}
	}
}

// TestLinks has a rule and a file of the model behind links that are in the
// tree of another rule.
func TestLinks(t *testing.T) {
	o := world()
	o.EvalSymlinks = func(p string) (string, error) {
		for link, to := range map[string]string{"/p/link": "/data", "/p/.env": "/secret/env", "/p": "/p", "/home": "/p"} {
			if rel, ok := Below(link, p); ok && (link != "/p" || !strings.HasPrefix(rel, "link") && rel != ".env") {
				return path.Join(to, rel), nil
			}
		}
		return "", fs.ErrNotExist
	}
	s := declared(
		compose.WatchRule{Path: "/p", Action: Sync, Target: "/app"},
		compose.WatchRule{Path: "/p/link/tree", Action: Restart},
		compose.WatchRule{Path: "/p/link/tree/sub", Action: Sync, Target: "/sub"},
	)
	p := project(map[string]compose.Service{"web": s})
	p.WorkingDir = "/p"
	r, _ := Compile(p, o)
	var got []string
	for _, root := range r.Roots() {
		got = append(got, root.Path)
	}
	if want := []string{"/p", "/p/.env", "/p/link/tree"}; !slices.Equal(got, want) {
		t.Errorf("roots %v, not %v", got, want)
	}
	for path, want := range map[string]string{
		"/p/link": "sync /app/link", "/p/link/tree": "restart", "/p/link/tree/x": "restart", "/p/link/tree/sub/y": "restart, sync /sub/y", "/p/a": "sync /app/a",
	} {
		if got := hits(r, path); got != want {
			t.Errorf("%s: %s, not %s", path, got, want)
		}
	}
	for path, want := range map[string]string{"/home/a": "copied to /app/a", "/data/tree/sub/y": "copied to /sub/y", "/secret/env": "is an env file", "/x": "nothing"} {
		if got := r.Explain(path).String(); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestFindings(t *testing.T) {
	hook := &compose.Hook{Command: []string{"x"}}
	s := compose.Service{
		Volumes: []compose.Mount{{Type: compose.MountBind, Source: "/p", Target: "/app"}},
		Develop: &compose.Develop{Watch: []compose.WatchRule{
			{Path: "/p", Action: Sync},
			{Path: "/p", Action: Sync, Target: "app"},
			{Path: "/p", Action: Rebuild},
			{Path: "/p", Action: SyncExec, Target: "/app"},
			{Path: "/p", Action: "explode"},
			{Path: "p", Action: Restart},
			{Path: "/p", Action: Restart, Ignore: []string{"[a"}},
			{Path: "/p", Action: Sync, Target: "/app"},
			{Path: "/p", Action: SyncExec, Target: "/other", Exec: hook},
		}},
		Extensions: compose.Extensions{"x-devstack": map[string]any{"watch": "auto"}},
	}
	p := project(map[string]compose.Service{"web": s, "db": {Extensions: compose.Extensions{"x-devstack": map[string]any{"watch": "atuo"}}}})
	r, findings := Compile(p, world())
	var got []string
	for _, f := range findings {
		got = append(got, fmt.Sprintf("%v %s", f.Fatal, f.Message))
	}
	want := []string{
		`true x-devstack.watch: "atuo" is not known: write auto, or a mapping with auto, rebuild_on, ignore, action`,
		`true service "web": a watch rule with action sync needs a target`,
		`true service "web": target "app" of a watch rule is not absolute`,
		`true service "web" has no build: its watch rule with action rebuild can never run`,
		`true service "web": a watch rule with action sync+exec needs exec.command`,
		`true service "web": unknown watch action "explode"`,
		`true service "web": path "p" of a watch rule is not absolute`,
		`true service "web": ignore: pattern "[a": syntax error in pattern`,
		`false service "web": the bind mount /p:/app shows /p to the container already: there is nothing to sync`,
		`true x-devstack.watch: auto derives rules from a Dockerfile, and service "web" has no build`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if len(r.All()) != 2 || len(r.Of("web")) != 2 || len(r.Of("db")) != 0 {
		t.Errorf("rules: %v", r.All())
	}
}

func TestExplain(t *testing.T) {
	s := declared(
		compose.WatchRule{Path: "/p", Action: Sync, Target: "/app", Ignore: []string{"tmp/"}, Include: []string{"**/*.js", "tmp", "**/*.md"}},
		compose.WatchRule{Path: "/p/package.json", Action: Rebuild},
		compose.WatchRule{Path: "/p/conf/*.yaml", Action: Restart},
	)
	r := rules(t, s, world(".dockerignore=# not these\n\ndocs\n*.md\n", "package.json"))
	var got []string
	for _, p := range []string{"/p/a.js", "/p/package.json", "/p/docs/a.md", "/p/tmp/a.js", "/p/.git/x.js", "/p/conf/a.json", "/elsewhere", "/p/Dockerfile"} {
		got = append(got, r.Explain(p).String())
	}
	want := `/p/a.js
  web: sync (develop.watch[0])
    because it is in /p
    copied to /app/a.js
/p/package.json
  not web: sync (develop.watch[0])
    because it is matched by none of the rule's include patterns: **/*.js, tmp, **/*.md
  web: rebuild (develop.watch[1])
    because it is /p/package.json
/p/docs/a.md
  not web: sync (develop.watch[0])
    because it is ignored by /p/.dockerignore: line 3, "docs"
/p/tmp/a.js
  not web: sync (develop.watch[0])
    because it is ignored by the rule's ignore: "tmp/"
/p/.git/x.js
  not web: sync (develop.watch[0])
    because it lies in .git, which git and editors keep for themselves
/p/conf/a.json
  not web: sync (develop.watch[0])
    because it is matched by none of the rule's include patterns: **/*.js, tmp, **/*.md
  not web: restart (develop.watch[2])
    because it does not match /p/conf/*.yaml
/elsewhere
  triggers nothing: no rule's path holds it
/p/Dockerfile
  is a Dockerfile: the project is loaded again and the difference applied
  not web: sync (develop.watch[0])
    because it is matched by none of the rule's include patterns: **/*.js, tmp, **/*.md
`
	if d := cmp.Diff(want, strings.Join(got, "")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func plan(works []Work) string {
	var b strings.Builder
	for _, w := range works {
		fmt.Fprintf(&b, "%s rebuild=%v restart=%v exec=%d\n", w.Service, w.Rebuild, w.Restart, len(w.Exec))
		for _, o := range w.Ops {
			fmt.Fprintf(&b, "  %s -> %s\n", o.Source, o.Target)
		}
		for _, c := range w.Causes {
			fmt.Fprintf(&b, "  because %s: %s\n", c.Rule.Action, strings.Join(c.Paths, " "))
		}
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	hook := &compose.Hook{Command: []string{"nginx", "-s", "reload"}}
	p := project(map[string]compose.Service{
		"web": declared(
			compose.WatchRule{Path: "/p/src", Action: Sync, Target: "/app", Ignore: []string{"node_modules"}},
			compose.WatchRule{Path: "/p/src/conf", Action: SyncExec, Target: "/app/conf", Exec: hook},
			compose.WatchRule{Path: "/p/go.mod", Action: Rebuild},
		),
		"api": declared(compose.WatchRule{Path: "/p/src", Action: Restart}),
	})
	r, _ := Compile(p, world("go.mod", "src/conf/x"))
	b := Batch{Changes: []Change{
		{Path: "/p/go.mod", Event: Written, Kind: File},
		{Path: "/p/src", Event: Removed, Kind: Dir},
		{Path: "/p/src/a", Event: Written, Kind: File},
		{Path: "/p/src/conf/x", Event: Removed, Kind: File},
		{Path: "/p/src/d", Event: Removed, Kind: Dir},
		{Path: "/p/src/node_modules", Event: Created, Kind: Dir},
		{Path: "/q", Event: Created, Kind: File},
	}}
	want := `api rebuild=false restart=true exec=0
  because restart: /p/src/a /p/src/conf/x
web rebuild=true restart=false exec=1
  /p/src/a -> /app/a
  /p/src/conf/x -> /app/conf/x
  /p/src/d -> /app/d
  because sync: /p/src/a /p/src/conf/x /p/src/d
  because sync+exec: /p/src/conf/x
  because rebuild: /p/go.mod
`
	if d := cmp.Diff(want, plan(r.Plan(b))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := plan(r.Plan(Batch{Changes: b.Changes[4:5]})); strings.Contains(got, "api") {
		t.Errorf("a directory restarts: %s", got)
	}
	t.Log("what is not the rule's stays when a directory goes")
	for _, w := range r.Plan(Batch{Changes: b.Changes[4:5]}) {
		if k := w.Ops[0].Keep; k("a") || k("x/y") {
			t.Error("keeps too much")
		}
	}
	op := r.Of("web")[0].keep("/p/src")
	if !op("node_modules") || op("a") {
		t.Error("keep of /p/src")
	}

	t.Log("everything, for a new container")
	all := []string{"/p/go.mod", "/p/src", "/p/src/a", "/p/src/conf", "/p/src/conf/x", "/p/src/node_modules"}
	ops := func(ops []Op) (out []string) {
		for _, o := range ops {
			out = append(out, o.Target)
		}
		return out
	}
	if got, want := ops(r.PlanAll("web", all)), []string{"/app/a", "/app/conf", "/app/conf/x"}; !slices.Equal(got, want) {
		t.Errorf("all: %v", got)
	}
	if got := r.PlanAll("api", all); got != nil {
		t.Errorf("api: %v", got)
	}
}

func TestModel(t *testing.T) {
	p := project(map[string]compose.Service{
		"web": {
			Build: &compose.Build{Context: "/p", Dockerfile: "docker/web"}, EnvFile: []compose.EnvFile{{Path: "/p/web.env"}},
			Configs: []compose.FileReference{{Source: "c"}}, Secrets: []compose.FileReference{{Source: "s"}, {Source: "env"}},
		},
		"api": {EnvFile: []compose.EnvFile{{Path: "/p/web.env"}}},
	})
	p.Files, p.WorkingDir = []string{"/p/compose.yaml", "-"}, "/p"
	p.Positions = compose.Positions{"x": {File: "/p/included.yaml", Line: 1}}
	p.Configs = map[string]compose.FileObject{"c": {File: "/p/c.conf"}}
	p.Secrets = map[string]compose.FileObject{"s": {File: "/run/s"}, "env": {Environment: "S"}}
	r, _ := Compile(p, Options{Model: []ModelFile{{Path: "/p/extra", Kind: EnvFile}}})
	var got []string
	for _, f := range r.model {
		got = append(got, fmt.Sprint(f.Path, " ", f.Kind, " ", f.Services))
	}
	want := []string{
		"/p/.dockerignore .dockerignore [web]", "/p/.env env file []", "/p/c.conf config [web]", "/p/compose.yaml compose file []",
		"/p/docker/web Dockerfile [web]", "/p/docker/web.dockerignore .dockerignore [web]", "/p/extra env file []",
		"/p/included.yaml compose file []", "/p/web.env env file [api web]", "/run/s secret [web]",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	changed := r.ChangedModel(Batch{Changes: []Change{{Path: "/p/a"}, {Path: "/p/web.env"}}})
	if len(changed) != 1 || changed[0].Path != "/p/web.env" {
		t.Errorf("changed: %v", changed)
	}
	if n := len(r.Roots()); n != len(want) {
		t.Errorf("%d roots", n)
	}
}

func TestDetector(t *testing.T) {
	p := project(map[string]compose.Service{"web": {
		Volumes: []compose.Mount{{Type: compose.MountBind, Source: "/p", Target: "/app"}},
		Develop: &compose.Develop{Watch: []compose.WatchRule{{Path: "/p", Action: Restart}, {Path: "/q", Action: Restart}}},
	}})
	r, _ := Compile(p, Options{})
	start := time.Unix(1000, 0)
	type suspicion struct {
		loops []Loop
		holds int
	}
	// after runs n rounds of a change that comes some time after each restart,
	// if the restart is held back only if it would come all the same.
	after := func(r *Rules, d *Detector, path string, n int, delay time.Duration, edited bool) (out suspicion) {
		at := start
		for i := range n {
			b := Batch{Changes: []Change{{Path: strings.ReplaceAll(path, "N", fmt.Sprint(i)), Event: Written, Kind: File}}, At: at}
			works := r.Plan(b)
			s := d.Changed(b, works)
			out.loops = append(out.loops, s.Loops...)
			hold := s.Hold["web"]
			if hold > 0 {
				out.holds++
			}
			for _, w := range works {
				if edited && delay < hold {
					continue // the next change is there first
				}
				d.Begin(w.Service, at.Add(hold))
				d.End(w.Service, at.Add(hold+100*time.Millisecond))
				at = at.Add(hold + 100*time.Millisecond)
			}
			at = at.Add(delay)
		}
		return out
	}
	d := NewDetector(p)
	got := after(r, d, "/p/log/access.log", 7, 300*time.Millisecond, false)
	loops := got.loops
	if len(loops) != 1 || loops[0].Path != "/p/log/access.log" || loops[0].Service != "web" || loops[0].Writer != "web" || got.holds != 1 {
		t.Fatalf("loops %v", got)
	}
	if !strings.Contains(loops[0].String(), `/p/log/access.log changed 6 times in a row right after service "web"`) {
		t.Error(loops[0])
	}
	muted := r.Mute(loops[0])
	if hits(muted, "/p/log/access.log") != "" || hits(muted, "/p/main.go") != "restart" || hits(r, "/p/log/access.log") != "restart" {
		t.Error("mute")
	}
	if got := muted.Explain("/p/log/access.log").String(); !strings.Contains(got, "feedback loop") {
		t.Error(got)
	}
	none := func(what string, got suspicion, holds int) {
		t.Helper()
		if len(got.loops) > 0 || got.holds > holds {
			t.Errorf("%s: %+v", what, got)
		}
	}
	none("muted", after(muted, NewDetector(p), "/p/log/access.log", 10, 300*time.Millisecond, false), 0)
	none("somebody who saves every five seconds", after(r, NewDetector(p), "/p/main.go", 50, 5*time.Second, true), 0)
	none("an editor that saves all the time", after(r, NewDetector(p), "/p/main.go", 50, 700*time.Millisecond, true), 10)
	none("what the service cannot write", after(r, NewDetector(p), "/q/main.go", 50, 100*time.Millisecond, false), 0)

	t.Log("ever new names")
	got = after(r, NewDetector(p), "/p/log/run-N.log", 7, 300*time.Millisecond, false)
	if len(got.loops) != 1 || got.loops[0].Path != "/p/log/run-*.log" {
		t.Fatalf("loops %v", got)
	}
	muted = r.Mute(got.loops[0])
	if hits(muted, "/p/log/run-77.log") != "" || hits(muted, "/p/log/run.log") != "restart" {
		t.Error("mute")
	}
	names := "abcdefghijklmn"
	at, d, last := start, NewDetector(p), Suspicion{}
	for _, n := range names {
		b := Batch{Changes: []Change{{Path: "/p/log/" + string(n), Event: Created, Kind: File}}, At: at}
		if last = d.Changed(b, r.Plan(b)); len(last.Loops) > 0 {
			break
		}
		at = at.Add(last.Hold["web"])
		d.Begin("web", at)
		d.End("web", at)
		at = at.Add(time.Millisecond)
	}
	if len(last.Loops) != 1 || last.Loops[0].Path != "/p/log/*" {
		t.Errorf("loops %v", last)
	}
	for name, want := range map[string]string{
		"a.go": "a.go", "run-12.log": "run-*.log", "tmpk3j2h1x9": "*", "v2.txt": "v2.txt", "x.cpython-311.pyc.140234": "x.cpython-*.pyc.*", "7": "*", "\xff9\xff": "\xff*\xff", "": "",
	} {
		if got := numberless(name); got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
}

func FuzzScope(f *testing.F) {
	f.Add("src", "*.go", "a/b.go")
	f.Add("**/x[", "!a", "../..")
	f.Fuzz(func(t *testing.T, rulePath, ignore, p string) {
		if strings.ContainsRune(p, 0) || strings.ContainsRune(rulePath, 0) {
			return
		}
		r, _ := Compile(project(map[string]compose.Service{"web": declared(
			compose.WatchRule{Path: filepath.Join("/p", rulePath), Action: Sync, Target: "/app", Ignore: []string{ignore}},
		)}), Options{})
		p = path.Join("/p", p)
		for _, h := range r.Match(p) {
			if h.Target != "/app" && !strings.HasPrefix(h.Target, "/app/") {
				t.Errorf("%s goes to %s", p, h.Target)
			}
			for _, root := range r.Roots() {
				if rel, ok := Below(root.Path, p); ok && rel != "" && skipped(root, rel) {
					t.Errorf("%s matches and is not watched", p)
				}
			}
		}
		_ = r.Explain(p).String()
	})
}

// What is synced gets the mode that the service's build gives it.
func TestPerm(t *testing.T) {
	s := declared(compose.WatchRule{Path: "/p/src", Action: Sync, Target: "/src"})
	chmod := compose.Service{
		Build:      &compose.Build{Context: "/p", DockerfileInline: "FROM scratch\nCOPY --chmod=0750 src /src\n"},
		Extensions: compose.Extensions{"x-devstack": map[string]any{"watch": "auto"}},
	}
	keep := s
	keep.Extensions = compose.Extensions{"x-devstack": map[string]any{"build": map[string]any{"modes": "keep"}}}
	image := s
	image.Build = nil
	for _, c := range []struct {
		of          string
		service     compose.Service
		host, there uint32
		dir         bool
		want        uint32
	}{
		{"a build", s, 0o600, 0, false, 0o644},
		{"a build", s, 0o664, 0, false, 0o644},
		{"a build", s, 0o775, 0, false, 0o755},
		{"a build", s, 0o700, 0, true, 0o755},
		{"RUN chmod", s, 0o644, 0o755, false, 0o755},
		{"RUN chmod", s, 0o755, 0o777, true, 0o777},
		{"chmod +x", s, 0o755, 0o640, false, 0o750},
		{"COPY --chmod", chmod, 0o644, 0, false, 0o750},
		{"modes: keep", keep, 0o640, 0o644, false, 0o640},
		{"an image", image, 0o640, 0o644, false, 0o640},
	} {
		r := rules(t, c.service, world("src/a"))
		ops := r.Plan(Batch{Changes: []Change{{Path: "/p/src/a", Event: Written, Kind: File}}})[0].Ops
		got := c.host
		if ops[0].Perm != nil {
			got = ops[0].Perm(c.host, c.there, c.dir)
		}
		if got != c.want {
			t.Errorf("%s: %o over %o (directory: %v) becomes %o, not %o", c.of, c.host, c.there, c.dir, got, c.want)
		}
	}
}
