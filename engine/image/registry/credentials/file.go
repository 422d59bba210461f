package credentials

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// config is a config.json or auth.json. Fields that are not ours survive a
// change.
type config struct {
	path    string // "" for DOCKER_AUTH_CONFIG
	all     map[string]json.RawMessage
	auths   map[string]json.RawMessage
	store   string
	helpers map[string]string
}

func parse(path string, b []byte) (*config, error) {
	c := &config{path: path, all: map[string]json.RawMessage{}, auths: map[string]json.RawMessage{}, helpers: map[string]string{}}
	if len(bytes.TrimSpace(b)) == 0 {
		return c, nil
	}
	err := json.Unmarshal(b, &c.all)
	for field, into := range map[string]any{"auths": &c.auths, "credsStore": &c.store, "credHelpers": &c.helpers} {
		if raw, ok := c.all[field]; ok && err == nil {
			err = json.Unmarshal(raw, into)
		}
	}
	if c.auths == nil { // "auths": null
		c.auths = map[string]json.RawMessage{}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name(path), err)
	}
	return c, nil
}

func name(path string) string {
	if path == "" {
		return "DOCKER_AUTH_CONFIG"
	}
	return path
}

// read is nil for a file that is not there.
func read(path string) (*config, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(path, b)
}

// helper is the program that keeps the credentials of a registry, "" for none.
func (c *config) helper(registry string) string {
	for key, h := range c.helpers {
		if Key(key) == Key(registry) {
			return h
		}
	}
	return c.store
}

// lookup is the entry whose key fits best.
func (c *config) lookup(registry, path string) (Auth, bool, error) {
	best, found := 0, ""
	for key := range c.auths {
		if n := specificity(key, registry, path); n > best {
			best, found = n, key
		}
	}
	if best == 0 {
		return Auth{}, false, nil
	}
	var e entry
	err := json.Unmarshal(c.auths[found], &e)
	var a Auth
	if err == nil {
		a, err = e.decode()
	}
	if err != nil {
		return Auth{}, false, fmt.Errorf("read %s: auths of %s: %w", name(c.path), found, err)
	}
	return a, a != Auth{}, nil // Docker leaves empty ones where a helper has it
}

// write replaces the file, readable by its owner alone.
func (c *config) write() error {
	auths, err := json.Marshal(c.auths)
	if err != nil {
		return err
	}
	c.all["auths"] = auths
	b, err := json.MarshalIndent(c.all, "", "\t")
	if err != nil {
		return err
	}
	path := c.path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link into somebody's dotfiles stays one
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp := filepath.Join(dir, ".devstack-"+rand.Text())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// paths are the files to read, the first with an answer counts.
func paths(getenv func(string) string) []string {
	var out []string
	if p := getenv("REGISTRY_AUTH_FILE"); p != "" {
		out = append(out, p)
	}
	if p := DockerConfig(getenv); p != "" {
		out = append(out, p)
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		out = append(out, filepath.Join(dir, "containers/auth.json"))
	} else if runtime.GOOS == "linux" {
		out = append(out, filepath.Join("/run/containers", strconv.Itoa(os.Getuid()), "auth.json"))
	}
	switch dir, home := getenv("XDG_CONFIG_HOME"), getenv("HOME"); {
	case dir != "":
		out = append(out, filepath.Join(dir, "containers/auth.json"))
	case home != "":
		out = append(out, filepath.Join(home, ".config/containers/auth.json"))
	}
	return out
}

// DockerConfig is the path of Docker's config.json, "" where there is none.
func DockerConfig(getenv func(string) string) string {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, "config.json")
	}
	for _, key := range []string{"HOME", "USERPROFILE"} {
		if home := getenv(key); home != "" {
			return filepath.Join(home, ".docker", "config.json")
		}
	}
	return ""
}
