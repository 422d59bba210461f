package routes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, text string) *Config {
	t.Helper()
	f, err := parse("registries.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := &Config{aliases: map[string]string{}}
	c.merge(f)
	return c
}

const example = `
unqualified-search-registries = ["docker.io"]

[[registry]]
prefix = "docker.io"
location = "registry-1.docker.io"
[[registry.mirror]]
location = "mirror.example/hub"
[[registry.mirror]]
location = "http://second.example:5000/"
insecure = true
pull-from-mirror = "digest-only"

[[registry]]
prefix = "docker.io/team"
location = "internal.example/team"
mirror-by-digest-only = true
[[registry.mirror]]
location = "digests.example"

[[registry]]
prefix = "*.corp.example"
insecure = true

[[registry]]
prefix = "*.eu.corp.example"
blocked = true

[[registry]]
location = "plain.example:5000"
`

func TestRoute(t *testing.T) {
	c := load(t, example)
	for name, want := range map[string]string{
		"docker.io/library/nginx":    "mirror mirror.example/hub/library/nginx, mirror insecure second.example:5000/library/nginx digest-only, registry-1.docker.io/library/nginx",
		"docker.io/team/app":         "mirror digests.example/app digest-only, internal.example/team/app",
		"docker.io/teams/app":        "mirror mirror.example/hub/teams/app, mirror insecure second.example:5000/teams/app digest-only, registry-1.docker.io/teams/app",
		"a.corp.example/x":           "insecure a.corp.example/x",
		"a.b.corp.example:5000/x":    "insecure a.b.corp.example:5000/x",
		"corp.example/x":             "corp.example/x",
		"evil.example/corp.example":  "evil.example/corp.example",
		"a.eu.corp.example/x":        "a.eu.corp.example/x is blocked by registries.conf (registry *.eu.corp.example)",
		"plain.example:5000/a/b":     "plain.example:5000/a/b",
		"plain.example:50001/a/b":    "plain.example:50001/a/b",
		"quay.io/org/app":            "quay.io/org/app",
		"docker.io.evil.example/app": "docker.io.evil.example/app",
	} {
		got := ""
		places, err := c.Route(name)
		if err != nil {
			got = err.Error()
		}
		for _, p := range places {
			words := []string{p.Name()}
			if p.Insecure {
				words = append([]string{"insecure"}, words...)
			}
			if p.Mirror {
				words = append([]string{"mirror"}, words...)
			}
			if p.pullFrom != "" {
				words = append(words, p.pullFrom)
			}
			if got != "" {
				got += ", "
			}
			got += strings.Join(words, " ")
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestMirrorsByKindOfReference(t *testing.T) {
	for from, want := range map[string][2]bool{"": {true, true}, "all": {true, true}, "digest-only": {true, false}, "tag-only": {false, true}} {
		e := Endpoint{pullFrom: from}
		if got := [2]bool{e.Serves(true), e.Serves(false)}; got != want {
			t.Errorf("%q serves %v", from, got)
		}
	}
}

func TestShortNames(t *testing.T) {
	const aliases = "[aliases]\nnginx = \"quay.io/nginx/nginx\"\n\"team/app\" = \"ghcr.io/team/app\"\n"
	for text, cases := range map[string]map[string]string{
		"":      {"library/nginx": "docker.io/library/nginx", "team/app": "docker.io/team/app"},
		aliases: {"library/nginx": "quay.io/nginx/nginx", "team/app": "ghcr.io/team/app", "library/redis": "docker.io/library/redis"},
		"unqualified-search-registries = ['a.example']\n":                                                   {"library/nginx": "a.example/nginx"},
		"unqualified-search-registries = ['a.example', 'docker.io']\n":                                      {"library/nginx": "docker.io/library/nginx"},
		"unqualified-search-registries = ['a.example', 'docker.io']\nshort-name-mode = 'permissive'\n":      {"library/nginx": "a.example/nginx docker.io/library/nginx", "t/a": "a.example/t/a docker.io/t/a"},
		"unqualified-search-registries = ['a.example', 'b.example']\nshort-name-mode = 'enforcing'\n":       {"library/nginx": `short name "nginx" could be an image of a.example, b.example`},
		"unqualified-search-registries = []\n" + aliases:                                                    {"library/redis": "docker.io/library/redis"},
		"unqualified-search-registries = ['a.example', 'b.example']\nshort-name-mode = 'disabled'\n\n# x\n": {"library/nginx": "a.example/nginx b.example/nginx"},
	} {
		c := load(t, text)
		for path, want := range cases {
			names, err := c.Short(path)
			got := strings.Join(names, " ")
			if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%s in %q:\n got %s\nwant %s", path, text, got, want)
			}
		}
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"a = \nb = 1":                                                  "f.conf:1:5: ",
		"[[registry]]\ninsecure = 'yes'":                               "f.conf:2:",
		"[[registry]]\ninsecure = true":                                "neither prefix nor location",
		"[[registry]]\nprefix = 'a.*.example'":                         "wildcard",
		"[[registry]]\nprefix = '*example'":                            "wildcard",
		"[[registry]]\nprefix = '*.example/app'":                       "wildcard",
		"[[registry]]\nprefix='a'\n[[registry.mirror]]\ninsecure=true": "no location",
		"[[registry]]\nprefix='a'\n[[registry.mirror]]\nlocation='b'\npull-from-mirror='sometimes'": "sometimes",
		"short-name-mode = 'maybe'":                 "maybe",
		"[registries.search]\nregistries = ['a']\n": "version 1",
	} {
		if _, err := parse("f.conf", []byte(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "f.conf") {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

// TestLoad puts a file of the user and drop-ins over each other.
func TestLoad(t *testing.T) {
	home := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(home, ".config/containers", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	getenv := func(key string) string { return map[string]string{"HOME": home}[key] }
	write("registries.conf", "unqualified-search-registries = ['a.example']\n[[registry]]\nlocation = 'x.example'\nblocked = true\n[aliases]\none = 'a.example/one'\ntwo = 'a.example/two'\n")
	write("registries.conf.d/10-b.conf", "[[registry]]\nlocation = 'x.example'\ninsecure = true\n[aliases]\none = ''\ntwo = 'b.example/two'\n")
	write("registries.conf.d/20-c.conf", "unqualified-search-registries = ['c.example']\n")
	write("registries.conf.d/ignored.txt", "[[[")
	c, err := Load(getenv)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c.example"}, c.search); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"two": "b.example/two"}, c.aliases); diff != "" {
		t.Error(diff)
	}
	places, err := c.Route("x.example/app")
	if err != nil || !places[0].Insecure {
		t.Errorf("%v, %v", places, err)
	}
	if _, err := Load(func(key string) string {
		return map[string]string{"CONTAINERS_REGISTRIES_CONF": "/no/such/file"}[key]
	}); err == nil {
		t.Error("a file that is named but missing is no error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("[aliases]\na='b'\n[[registry]]\nprefix='*.a'\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parse("f", b)
		if err != nil {
			return
		}
		c := &Config{aliases: map[string]string{}}
		c.merge(file)
		_, _ = c.Route("docker.io/library/nginx")
		_, _ = c.Short("library/nginx")
	})
}
