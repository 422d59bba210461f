package derive

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func derived(t *testing.T, in Input) string {
	t.Helper()
	in.Context, in.Name = "/p", "/p/Dockerfile"
	in.Text = []byte(strings.ReplaceAll(string(in.Text), "\t", ""))
	if in.IsDir == nil {
		in.IsDir = func(p string) (bool, bool) { return filepath.Ext(p) == "" && filepath.Base(p) != "server", true }
	}
	rules, remarks, err := Rules(in)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&b, "%s %s", r.Action, r.Path)
		if r.Target != "" {
			fmt.Fprintf(&b, " -> %s", r.Target)
		}
		if len(r.Include) > 0 {
			fmt.Fprintf(&b, " include %s", strings.Join(r.Include, " "))
		}
		if len(r.Ignore) > 0 {
			fmt.Fprintf(&b, " ignore %s", strings.Join(r.Ignore, " "))
		}
		fmt.Fprintf(&b, " | %s\n", r.From)
	}
	for _, r := range remarks {
		b.WriteString(r + "\n")
	}
	return b.String()
}

func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		in   Input
		want string
	}{
		"python": {
			Input{Text: []byte(`FROM python
				WORKDIR /app
				COPY requirements.txt .
				RUN pip install --no-cache-dir -r requirements.txt
				COPY . .
				RUN chown -R app /app && mkdir -p /data
				CMD ["python", "app.py"]`)},
			`rebuild /p/requirements.txt | COPY requirements.txt . (Dockerfile:3), needed by RUN pip install --no-cache-dir -r requirements.txt
sync+restart /p -> /app ignore /p/requirements.txt | COPY . . (Dockerfile:5)
`,
		},
		"node with a reloader, manifests from the whole": {
			Input{Text: []byte(`FROM node
				WORKDIR /srv
				COPY --chown=node . /srv
				RUN npm ci
				CMD npx nodemon server.js`), Options: Options{RebuildOn: []string{"schema.prisma"}, Ignore: []string{"test"}}},
			`rebuild /p/schema.prisma | x-devstack.watch.rebuild_on: schema.prisma
rebuild /p include **/package.json ignore /p/test | COPY --chown=node . /srv (Dockerfile:3), needed by RUN npm ci
rebuild /p include **/package-lock.json ignore /p/test | COPY --chown=node . /srv (Dockerfile:3), needed by RUN npm ci
rebuild /p include **/npm-shrinkwrap.json ignore /p/test | COPY --chown=node . /srv (Dockerfile:3), needed by RUN npm ci
rebuild /p include **/.npmrc ignore /p/test | COPY --chown=node . /srv (Dockerfile:3), needed by RUN npm ci
sync /p -> /srv ignore /p/test /p/schema.prisma /p/**/package.json /p/**/package-lock.json /p/**/npm-shrinkwrap.json /p/**/.npmrc | COPY --chown=node . /srv (Dockerfile:3)
`,
		},
		"a program, what it serves, its settings": {
			Input{Text: []byte(`FROM nginx
				WORKDIR /srv
				COPY nginx.conf /etc/nginx/nginx.conf
				COPY html /usr/share/nginx/html
				COPY bin/server bin/
				ENTRYPOINT ["bin/server"]`)},
			`sync+restart /p/nginx.conf -> /etc/nginx/nginx.conf | COPY nginx.conf /etc/nginx/nginx.conf (Dockerfile:3)
sync /p/html -> /usr/share/nginx/html | COPY html /usr/share/nginx/html (Dockerfile:4)
sync+restart /p/bin/server -> /srv/bin/server | COPY bin/server bin/ (Dockerfile:5)
`,
		},
		"go, two stages": {
			Input{Text: []byte(`FROM golang AS build
				WORKDIR /src
				COPY go.mod go.sum ./
				RUN go mod download
				COPY . .
				RUN --mount=type=bind,source=tools,target=/tools go build -o /out/app .
				FROM scratch
				COPY --from=build /out/app /app
				COPY static /static/
				COPY conf/*.yaml /etc/app/
				COPY conf/app.toml /etc/app.toml
				ENTRYPOINT ["/app"]`)},
			`rebuild /p/go.mod | COPY go.mod go.sum ./ (Dockerfile:3), which the image is made from
rebuild /p/go.sum | COPY go.mod go.sum ./ (Dockerfile:3), which the image is made from
rebuild /p | COPY . . (Dockerfile:5), which the image is made from
rebuild /p/tools | RUN --mount=type=bind,source=tools,target=/tools go build -o /out/app . (Dockerfile:6)
sync /p/static -> /static | COPY static /static/ (Dockerfile:9)
sync+restart /p/conf/*.yaml -> /etc/app | COPY conf/*.yaml /etc/app/ (Dockerfile:10)
sync+restart /p/conf/app.toml -> /etc/app.toml | COPY conf/app.toml /etc/app.toml (Dockerfile:11)
`,
		},
		"what is compiled in place, and what is left": {
			Input{Text: []byte(`FROM node AS base
				WORKDIR /app
				COPY src /app/src
				COPY public /srv/public
				FROM base
				RUN npm run build
				COPY --parents a/b.txt /x/
				ADD vendor.tar.gz /vendor
				COPY a*/b* /y/
				CMD ["nginx"]`), Target: ""},
			`rebuild /p/src | COPY src /app/src (Dockerfile:3), needed by RUN npm run build
rebuild /p/vendor.tar.gz | ADD vendor.tar.gz /vendor (Dockerfile:8), which does not say where each file goes
rebuild /p/a*/b* | COPY a*/b* /y/ (Dockerfile:9), which does not say where each file goes
sync /p/public -> /srv/public | COPY public /srv/public (Dockerfile:4)
sync /p/a/b.txt -> /x/a/b.txt | COPY --parents a/b.txt /x/ (Dockerfile:7)
`,
		},
		"unknown base, known base, contexts, target": {
			Input{
				Text: []byte(`FROM mystery AS one
				COPY . .
				FROM known AS two
				COPY --from=docs guide guide/
				COPY --exclude=*.md src src
				FROM two AS three
				RUN make`),
				Target:   "two",
				Contexts: map[string]string{"docs": "/docs", "git": "https://example.com/x.git"},
				Image:    func(ref string) (Image, bool) { return Image{WorkingDir: "/home"}, ref == "known" },
				Options:  Options{Action: "sync"},
			},
			`sync /docs/guide -> /home/guide | COPY --from=docs guide guide/ (Dockerfile:4)
sync /p/src -> /home/src ignore /p/*.md | COPY --exclude=*.md src src (Dockerfile:5)
`,
		},
		"unknown base": {
			Input{Text: []byte("FROM mystery\nCOPY . .\nCOPY x /abs/x")},
			`rebuild /p | COPY . . (Dockerfile:2), which does not say where each file goes
sync /p/x -> /abs/x | COPY x /abs/x (Dockerfile:3)
x-devstack.watch: the WORKDIR of the base image is not known, so where COPY . goes is not either: it is rebuilt
`,
		},
		"command of the service": {
			Input{Text: []byte("FROM python\nWORKDIR /a\nCOPY . ."), Command: []string{"uvicorn", "main:app", "--reload"}},
			"sync /p -> /a | COPY . . (Dockerfile:3)\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, derived(t, c.in)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestNeeds(t *testing.T) {
	for command, want := range map[string]string{
		"npm ci":                                 "package.json",
		"NODE_ENV=production npm install -g":     "package.json",
		"pip install -r req/base.txt -c c.txt":   "base.txt c.txt",
		"pip install .":                          "all",
		"pip install -e .":                       "all",
		"pip install flask":                      "",
		"python -m pip install -r r.txt":         "r.txt",
		"poetry install --no-root":               "pyproject.toml",
		"poetry install":                         "all",
		"bundle install":                         "Gemfile",
		"apt-get update && apt-get install -y x": "",
		"npm ci && npm run build":                "all",
		"cat $(ls)":                              "all",
		"make":                                   "all",
		"go mod download; true":                  "go.mod",
	} {
		files, all := commandLine(command)
		got := "all"
		if !all {
			got = strings.Join(files, " ")
		}
		if got != want && (want == "" || all || !strings.HasPrefix(got, want+" ")) {
			t.Errorf("%s: %s, not %s", command, got, want)
		}
	}
}

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		in   any
		want Options
		err  string
	}{
		{nil, Options{}, ""},
		{true, Options{Auto: true}, ""},
		{"auto", Options{Auto: true}, ""},
		{"manual", Options{}, `"manual" is not known`},
		{map[string]any{"rebuild_on": []any{"a", "b"}, "ignore": "x", "action": "sync", "x-note": 1}, Options{Auto: true, RebuildOn: []string{"a", "b"}, Ignore: []string{"x"}, Action: "sync"}, ""},
		{map[string]any{"auto": false}, Options{}, ""},
		{map[string]any{"rebuild_on": 3}, Options{}, "not a list"},
		{map[string]any{"rebuild_no": "x"}, Options{}, "x-devstack.watch.rebuild_no is not known"},
		{map[string]any{"action": "rebuild"}, Options{}, "neither sync nor sync+restart"},
		{[]any{"auto"}, Options{}, "write auto"},
	} {
		got, err := ParseOptions(c.in)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v: error %v, not %s", c.in, err, c.err)
			}
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("%v: %v\n%s", c.in, err, d)
		}
	}
}

// FuzzRules reads any Dockerfile: what it derives is in the context and says
// where it goes.
func FuzzRules(f *testing.F) {
	f.Add("FROM python\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\nCMD python app.py", "*.lock")
	f.Add("FROM a AS b\nADD --exclude=*.go --parents x/./y* z [\"/a b\"] /d/\nFROM b\nCOPY --from=b / /\nRUN <<E\nx\nE", "!x")
	f.Add("FROM x", "../y")
	f.Fuzz(func(t *testing.T, text, pattern string) {
		rules, _, err := Rules(Input{Context: "/p", Name: "/p/Dockerfile", Text: []byte(text), Options: Options{Auto: true, RebuildOn: []string{pattern}, Ignore: []string{pattern}}})
		if err != nil {
			return
		}
		for _, r := range rules {
			if r.Path != "/p" && !strings.HasPrefix(r.Path, "/p/") {
				t.Errorf("path %q of %s", r.Path, r.From)
			}
			if copies := r.Action != rebuildAction; copies != strings.HasPrefix(r.Target, "/") {
				t.Errorf("%s to %q (%s)", r.Action, r.Target, r.From)
			}
		}
	})
}
