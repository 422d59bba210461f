package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"devstack/compose"
	"devstack/engine/image/registry/credentials"
)

// dockerProxies are the build arguments that Docker's config.json has for
// every build: proxies.default.
func dockerProxies(getenv func(string) string) (compose.Mapping, error) {
	path := credentials.DockerConfig(getenv)
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read proxies of builds: %w", err)
	}
	var config struct {
		Proxies struct {
			Default struct{ HTTPProxy, HTTPSProxy, FTPProxy, NoProxy, AllProxy string }
		}
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("read proxies of builds: %s: %w", path, err)
	}
	d := config.Proxies.Default
	args := compose.Mapping{}
	for name, value := range map[string]string{
		"HTTP_PROXY": d.HTTPProxy, "HTTPS_PROXY": d.HTTPSProxy, "FTP_PROXY": d.FTPProxy, "NO_PROXY": d.NoProxy, "ALL_PROXY": d.AllProxy,
	} {
		if value != "" {
			args[name] = &value
		}
	}
	return args, nil
}

// addProxies adds them to a build's arguments, which come first, in whatever
// spelling.
func (b *builds) addProxies(args compose.Mapping) error {
	proxies, err := dockerProxies(b.getenv)
	if err != nil {
		return err
	}
	for name, value := range proxies {
		_, upper := args[name]
		_, lower := args[strings.ToLower(name)]
		if !upper && !lower {
			args[name] = value
		}
	}
	return nil
}
