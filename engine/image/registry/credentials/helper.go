package credentials

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// errAbsent is a helper's word that it has nothing.
var errAbsent = errors.New("credentials not found in native keychain")

// tokenUser is the name that stands for an identity token instead of a
// password in the helpers' protocol.
const tokenUser = "<token>"

// helperTime is how long a helper may take: some ask their user.
const helperTime = 2 * time.Minute

type helperEntry struct {
	ServerURL string `json:",omitempty"`
	Username  string
	Secret    string
}

// helper speaks the protocol of docker-credential-helpers: the operation is
// the argument, everything else goes through standard input and output.
type helper struct {
	name    string
	environ []string
	getenv  func(string) string
}

func (h helper) get(ctx context.Context, key string) (Auth, error) {
	out, err := h.run(ctx, "get", []byte(key))
	if err != nil {
		return Auth{}, err
	}
	var e helperEntry
	if err := json.Unmarshal(out, &e); err != nil {
		return Auth{}, fmt.Errorf("docker-credential-%s get: its answer is not understood: %w", h.name, err)
	}
	if e.Username == tokenUser {
		return Auth{IdentityToken: e.Secret}, nil
	}
	return Auth{Username: e.Username, Password: e.Secret}, nil
}

func (h helper) save(ctx context.Context, key string, a Auth) error {
	e := helperEntry{ServerURL: key, Username: a.Username, Secret: a.Password}
	if a.IdentityToken != "" {
		e.Username, e.Secret = tokenUser, a.IdentityToken
	}
	in, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = h.run(ctx, "store", in)
	return err
}

func (h helper) erase(ctx context.Context, key string) error {
	_, err := h.run(ctx, "erase", []byte(key))
	return err
}

func (h helper) run(ctx context.Context, op string, in []byte) ([]byte, error) {
	program, err := h.find()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, op)
	cmd.Env, cmd.Stdin, cmd.WaitDelay = h.environ, bytes.NewReader(in), time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	said := strings.TrimSpace(string(out)) // helpers complain on stdout
	if said == errAbsent.Error() {
		return nil, errAbsent
	}
	if said == "" {
		said = strings.TrimSpace(stderr.String())
	}
	if said == "" || op == "get" && strings.HasPrefix(said, "{") { // never print a secret
		said = err.Error()
	}
	return nil, fmt.Errorf("docker-credential-%s %s: %s", h.name, op, said)
}

// MissingHelperError says that a file names a credential helper that is not
// installed. Public images need none.
type MissingHelperError struct{ Program string }

func (e *MissingHelperError) Error() string {
	return fmt.Sprintf("credential helper %s is not in PATH", e.Program)
}

// find looks in the PATH of the environment that was given.
func (h helper) find() (string, error) {
	if h.name == "" || strings.ContainsAny(h.name, `/\`) || strings.HasPrefix(h.name, ".") {
		return "", fmt.Errorf("credential helper %q is not a name", h.name)
	}
	file := "docker-credential-" + h.name
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	for _, dir := range filepath.SplitList(h.getenv("PATH")) {
		path := filepath.Join(dir, file)
		fi, err := os.Stat(path)
		if filepath.IsAbs(path) && err == nil && fi.Mode().IsRegular() && (runtime.GOOS == "windows" || fi.Mode()&0o111 != 0) {
			return path, nil
		}
	}
	return "", &MissingHelperError{Program: file}
}
