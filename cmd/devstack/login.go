package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"devstack/engine/api"
	"devstack/engine/image/registry"
	"devstack/engine/image/registry/credentials"
)

// credentials give the engine the environment that leads to registries. Its
// working directory is not ours: paths become absolute.
func (e *env) credentials() api.Credentials {
	out := make([]string, 0, len(e.environ))
	for _, kv := range e.environ {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "CONTAINERS_REGISTRIES_CONF", "REGISTRIES_CONFIG_PATH", "SSL_CERT_FILE":
			if v != "" && !filepath.IsAbs(v) {
				kv = k + "=" + filepath.Join(e.cwd, v)
			}
		}
		out = append(out, kv)
	}
	return api.Credentials{Environ: out}
}

type loginOptions struct {
	username, password string
	passwordGiven      bool
	passwordStdin      bool
}

func newLoginCmd(e *env) *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login [OPTIONS] [SERVER]",
		Short: "Authenticate to a registry",
		Long:  "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.passwordGiven = cmd.Flags().Changed("password")
			server := "docker.io"
			if len(args) > 0 {
				server = serverName(args[0])
			}
			return runLogin(cmd.Context(), e, server, o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVarP(&o.username, "username", "u", "", "Username")
	f.StringVarP(&o.password, "password", "p", "", "Password")
	f.BoolVar(&o.passwordStdin, "password-stdin", false, "Take the Password from stdin")
	return cmd
}

// serverName takes "https://host/v1/" for host.
func serverName(s string) string {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
	host, _, _ := strings.Cut(s, "/")
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return "docker.io"
	}
	return host
}

func runLogin(ctx context.Context, e *env, server string, o loginOptions) error {
	switch {
	case e.flags.dryRun:
		return errDryRun
	case o.passwordGiven && o.passwordStdin:
		return errors.New("conflicting options: cannot specify both --password and --password-stdin")
	case o.passwordStdin && o.username == "":
		return errors.New("the --password-stdin option requires --username to be set")
	case o.passwordGiven:
		fmt.Fprintln(e.stderr, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
	}
	store := credentials.New(e.credentials().Environ)
	auth, known, err := e.askCredentials(ctx, store, server, o)
	if err != nil {
		return err
	}
	c := registry.New(registry.Options{Environ: e.credentials().Environ, Auth: &auth})
	defer c.Close()
	if err := c.Login(ctx, server); err != nil {
		if known {
			return fmt.Errorf("%w\nhint: these are the stored credentials; give others with --username", err)
		}
		return err
	}
	if !known {
		saved, err := store.Save(ctx, server, auth)
		if err != nil {
			return err
		}
		if saved.Helper == "" {
			fmt.Fprintf(e.stderr, "WARNING! Your credentials are stored unencrypted in '%s'.\n"+
				"Configure a credential helper (credsStore) in that file to remove this warning.\n", saved.File)
		}
	}
	fmt.Fprintln(e.stdout, "Login Succeeded")
	return nil
}

// askCredentials takes them from flags, standard input, the store, or the
// user, in this order; known says that the store has them already.
func (e *env) askCredentials(ctx context.Context, store *credentials.Store, server string, o loginOptions) (auth credentials.Auth, known bool, err error) {
	auth = credentials.Auth{Username: o.username, Password: o.password}
	if o.passwordStdin {
		b, err := io.ReadAll(io.LimitReader(e.stdin, 1<<20))
		if err != nil {
			return auth, false, fmt.Errorf("read password: %w", err)
		}
		auth.Password = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if auth.Password == "" {
			return auth, false, errors.New("password is empty: there was none on standard input")
		}
	}
	if auth.Username == "" && auth.Password == "" {
		if old, err := store.Find(ctx, server, ""); err != nil {
			return auth, false, err
		} else if old != (credentials.Auth{}) {
			fmt.Fprintln(e.stderr, "Authenticating with existing credentials...")
			return old, true, nil
		}
	}
	if auth.Username == "" {
		if auth.Username, err = e.ask("Username: "); err != nil {
			return auth, false, err
		}
	}
	if auth.Password == "" {
		if auth.Password, err = e.askSecret("Password: "); err != nil {
			return auth, false, err
		}
	}
	if auth.Username == "" || auth.Password == "" {
		return auth, false, errors.New("a username and a password are needed")
	}
	return auth, false, nil
}

var errNoTerminal = errors.New("cannot ask for a username and a password: standard input is no terminal\nhint: use --username and --password-stdin")

// ask reads a line; it takes no byte more, for the next question.
func (e *env) ask(prompt string) (string, error) {
	if !isTerminal(e.stdin) {
		return "", errNoTerminal
	}
	fmt.Fprint(e.stdout, prompt)
	line, err := bufio.NewReaderSize(e.stdin, 16).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// askSecret reads a line without showing it.
func (e *env) askSecret(prompt string) (string, error) {
	f, ok := e.stdin.(*os.File)
	if !ok || !isTerminal(f) {
		return "", errNoTerminal
	}
	fmt.Fprint(e.stdout, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(e.stdout)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return string(b), nil
}
