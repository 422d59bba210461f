package credentials

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machine is a home with files and credential helpers in it.
type machine struct {
	t    *testing.T
	home string
	vars []string
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, home: t.TempDir()}
	m.vars = []string{"HOME=" + m.home, "XDG_RUNTIME_DIR=" + filepath.Join(m.home, "run"), "PATH=" + filepath.Join(m.home, "bin") + ":/usr/bin:/bin"}
	return m
}

func (m *machine) write(name, text string, mode os.FileMode) string {
	m.t.Helper()
	path := filepath.Join(m.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// helper installs one that keeps its entries as files of a directory.
func (m *machine) helper(name string) {
	if runtime.GOOS == "windows" {
		m.t.Skip("helpers are scripts here")
	}
	m.write("bin/docker-credential-"+name, `#!/bin/sh
dir=$HOME/keys-`+name+`
mkdir -p "$dir"
case $1 in
get)
	read -r key; file=$dir/$(echo "$key" | tr '/:' '__')
	[ -f "$file" ] || { echo "credentials not found in native keychain"; exit 1; }
	cat "$file";;
store)
	cat >"$dir/new"; key=$(sed 's/.*"ServerURL":"\([^"]*\)".*/\1/' "$dir/new")
	mv "$dir/new" "$dir/$(echo "$key" | tr '/:' '__')";;
erase)
	read -r key; rm "$dir/$(echo "$key" | tr '/:' '__')";;
esac
`, 0o755)
}

func (m *machine) find(registry, path string, vars ...string) Auth {
	m.t.Helper()
	a, err := New(append(m.vars, vars...)).Find(m.t.Context(), registry, path)
	if err != nil {
		m.t.Errorf("find %s/%s: %v", registry, path, err)
	}
	return a
}

func auths(pairs ...string) string {
	var out []string
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, fmt.Sprintf(`%q: {"auth": %q}`, pairs[i], base64.StdEncoding.EncodeToString([]byte(pairs[i+1]))))
	}
	return `{"auths": {` + strings.Join(out, ", ") + `}}`
}

func TestFind(t *testing.T) {
	m := newMachine(t)
	m.write(".docker/config.json", auths("https://index.docker.io/v1/", "hub:h", "a.example", "docker:d:d", "https://old.example/v2/", "old:o", "empty.example", ":"), 0o600)
	m.write("run/containers/auth.json", auths("a.example", "podman:p", "b.example", "whole:w", "b.example/team", "team:t", "b.example/team/app", "app:a", "docker.io", "x:x"), 0o600)
	m.write(".config/containers/auth.json", auths("c.example", "config:c"), 0o600)
	explicit := m.write("explicit.json", auths("a.example", "explicit:e"), 0o600)
	other := filepath.Dir(m.write("other/config.json", auths("a.example", "other:o"), 0o600))
	for _, c := range []struct {
		registry, path, want string
		vars                 []string
	}{
		{registry: "docker.io", path: "library/nginx", want: "hub"},
		{registry: "a.example", path: "x", want: "docker"},
		{registry: "old.example", path: "x", want: "old"},
		{registry: "b.example", path: "x", want: "whole"},
		{registry: "b.example", path: "teams/x", want: "whole"},
		{registry: "b.example", path: "team/x", want: "team"},
		{registry: "b.example", path: "team/app", want: "app"},
		{registry: "b.example", want: "whole"},
		{registry: "c.example", path: "x", want: "config"},
		{registry: "d.example", path: "x", want: ""},
		{registry: "xa.example", path: "x", want: ""},
		{registry: "a.example", path: "x", want: "explicit", vars: []string{"REGISTRY_AUTH_FILE=" + explicit}},
		{registry: "a.example", path: "x", want: "other", vars: []string{"DOCKER_CONFIG=" + other}},
		{registry: "a.example", path: "x", want: "inline", vars: []string{"REGISTRY_AUTH_FILE=" + explicit, "DOCKER_AUTH_CONFIG=" + auths("a.example", "inline:i")}},
		{registry: "c.example", path: "x", want: "config", vars: []string{"DOCKER_AUTH_CONFIG=" + auths("a.example", "inline:i")}},
	} {
		if got := m.find(c.registry, c.path, c.vars...); got.Username != c.want {
			t.Errorf("%s/%s with %v: %q, want %q", c.registry, c.path, c.vars, got.Username, c.want)
		}
	}
	if got := m.find("a.example", ""); got.Password != "d:d" {
		t.Errorf("password %q", got.Password)
	}
}

func TestBrokenFilesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"{":                                      "config.json: unexpected end",
		`{"auths": []}`:                          "config.json",
		`{"auths": {"a.example": {"auth":"!"}}}`: "a.example: field auth is not base64",
		`{"auths": {"a.example": {"auth":"YQ=="}}}`: "not of the form",
		`{"credsStore": "nope"}`:                    "docker-credential-nope is not in PATH",
		`{"credsStore": "../evil"}`:                 "is not a name",
	} {
		m := newMachine(t)
		m.write(".docker/config.json", text, 0o600)
		if _, err := New(m.vars).Find(t.Context(), "a.example", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
}

func TestHelpers(t *testing.T) {
	m := newMachine(t)
	m.helper("all")
	m.helper("one")
	path := m.write(".docker/config.json", `{"credsStore": "all", "credHelpers": {"one.example": "one"}, "auths": {"plain.example": {"auth": "`+base64.StdEncoding.EncodeToString([]byte("p:p"))+`"}, "one.example": {}}, "detachKeys": "ctrl-e"}`, 0o600)
	s := New(m.vars)
	for registry, a := range map[string]Auth{"one.example": {Username: "1", Password: "one"}, "two.example": {Username: "2", Password: "two"}, "docker.io": {IdentityToken: "token"}} {
		saved, err := s.Save(t.Context(), registry, a)
		if err != nil || saved.Helper == "" {
			t.Fatalf("%s: %+v, %v", registry, saved, err)
		}
		if got := m.find(registry, "any"); got != a {
			t.Errorf("%s: %+v, want %+v", registry, got, a)
		}
	}
	if got := m.find("plain.example", ""); got.Username != "p" {
		t.Errorf("what the helper does not have is not looked up in the file: %+v", got)
	}
	for _, where := range []string{"keys-one/one.example", "keys-all/two.example", "keys-all/https___index.docker.io_v1_"} {
		if _, err := os.Stat(filepath.Join(m.home, where)); err != nil {
			t.Error(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(b), "two") || !strings.Contains(string(b), "ctrl-e") {
		t.Errorf("config.json is %s, %v", b, err)
	}
	for _, want := range []bool{true, false} {
		if got, err := s.Erase(t.Context(), "two.example"); err != nil || got != want {
			t.Errorf("erase: %v, %v", got, err)
		}
	}
	if got := m.find("two.example", ""); got != (Auth{}) {
		t.Errorf("still there: %+v", got)
	}
}

func TestHelperNeverTellsSecrets(t *testing.T) {
	m := newMachine(t)
	m.helper("x")
	m.write("bin/docker-credential-x", "#!/bin/sh\necho '{\"Secret\":\"hush\"'\nexit 1\n", 0o755)
	m.write(".docker/config.json", `{"credsStore": "x"}`, 0o600)
	if _, err := New(m.vars).Find(t.Context(), "a.example", ""); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v", err)
	}
}

func TestSaveAndErase(t *testing.T) {
	m := newMachine(t)
	s := New(m.vars)
	path := filepath.Join(m.home, ".docker/config.json")
	save := func(registry, user string) {
		t.Helper()
		saved, err := s.Save(t.Context(), registry, Auth{Username: user, Password: "p"})
		if diff := cmp.Diff(Saved{File: path}, saved); diff != "" || err != nil {
			t.Fatalf("%v %s", err, diff)
		}
	}
	save("a.example", "one")
	save("docker.io", "hub")
	save("a.example", "two")
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if got := m.find("a.example", ""); got.Username != "two" {
		t.Errorf("%+v", got)
	}
	if got, err := s.Erase(t.Context(), "docker.io"); !got || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	b, _ := os.ReadFile(path)
	if strings.Contains(string(b), "index.docker.io") || !strings.Contains(string(b), "a.example") {
		t.Errorf("left: %s", b)
	}
	// REGISTRY_AUTH_FILE takes precedence, and a link stays a link.
	link, target := filepath.Join(m.home, "link.json"), m.write("target.json", `{"other": 1}`, 0o644)
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if _, err := New(append(m.vars, "REGISTRY_AUTH_FILE="+link)).Save(t.Context(), "b.example", Auth{Username: "u", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	b, _ = os.ReadFile(target)
	fi, err = os.Lstat(link)
	if err != nil || fi.Mode()&os.ModeSymlink == 0 || !strings.Contains(string(b), "b.example") || !strings.Contains(string(b), "other") {
		t.Errorf("%v, %v: %s", fi.Mode(), err, b)
	}
	if left, _ := filepath.Glob(filepath.Join(m.home, ".devstack-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(auths("a.example", "u:p")))
	f.Add([]byte(`{"auths":null,"credsStore":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parse("f", b)
		if err != nil {
			return
		}
		_, _, _ = c.lookup("a.example", "x")
		c.remove("a.example")
	})
}
