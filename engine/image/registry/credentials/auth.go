package credentials

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Auth is what a registry is told; the zero value is nobody.
type Auth struct {
	Username, Password string
	IdentityToken      string // to be exchanged for access tokens
	RegistryToken      string // an access token itself
}

// entry is an Auth as the files hold it.
type entry struct {
	Auth          string `json:"auth,omitempty"` // base64 of user:password
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

func (e entry) decode() (Auth, error) {
	a := Auth{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth == "" {
		return a, nil
	}
	b, err := base64.StdEncoding.DecodeString(e.Auth)
	if err != nil {
		if b, err = base64.RawStdEncoding.DecodeString(e.Auth); err != nil {
			return Auth{}, fmt.Errorf("field auth is not base64")
		}
	}
	user, password, ok := strings.Cut(string(b), ":")
	if !ok {
		return Auth{}, fmt.Errorf("field auth is not of the form user:password")
	}
	a.Username, a.Password = user, strings.TrimRight(password, "\x00")
	return a, nil
}

func encode(a Auth) entry {
	e := entry{IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	if a.Username != "" || a.Password != "" {
		e.Auth = base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + a.Password))
	}
	return e
}

// hubKey is what Docker files the credentials of Docker Hub under.
const hubKey = "https://index.docker.io/v1/"

// Key is the name that a registry's credentials are kept under.
func Key(registry string) string {
	switch registry = hostOf(registry); registry {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return hubKey
	}
	return registry
}

// hostOf reduces old spellings, such as https://host/v1/, to the host.
func hostOf(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, _, _ := strings.Cut(key, "/")
	return host
}

// specificity says how closely a file's key fits a registry's repository: 0 is
// not at all. Podman's keys may go on after the host.
func specificity(key, registry, path string) int {
	if Key(key) == hubKey && Key(registry) == hubKey {
		registry = hostOf(key)
	}
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	key = strings.TrimRight(key, "/")
	if v := strings.TrimSuffix(strings.TrimSuffix(key, "/v1"), "/v2"); v == registry {
		return len(v)
	}
	full := registry + "/" + path
	if rest, ok := strings.CutPrefix(full, key); ok && (rest == "" || rest[0] == '/') {
		return len(key)
	}
	return 0
}
