package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// agents are the ssh agents that a build offers: those of the user, and one of
// its own for keys.
type agents struct {
	sockets map[string]string // by id
	ends    []func()
}

func (a *agents) end() {
	for _, f := range a.ends {
		f()
	}
}

// agentsOf looks at what was given: a socket is an agent's, anything else a
// key, for which OpenSSH's agent is started beneath dir.
func agentsOf(ctx context.Context, given []SSH, dir string) (_ *agents, err error) {
	a := &agents{sockets: map[string]string{}}
	defer func() {
		if err != nil {
			a.end()
		}
	}()
	for _, s := range given {
		if s.ID == "" {
			s.ID = "default"
		}
		fi, err := os.Stat(s.Path)
		switch {
		case err != nil:
			return nil, fmt.Errorf("ssh %s: %w", s.ID, err)
		case fi.Mode()&os.ModeSocket != 0:
			a.sockets[s.ID] = s.Path
			continue
		}
		if a.sockets[s.ID], err = a.hold(ctx, s, dir); err != nil {
			return nil, fmt.Errorf("ssh %s: %w", s.ID, err)
		}
	}
	return a, nil
}

// hold starts an agent with one key.
func (a *agents) hold(ctx context.Context, s SSH, dir string) (string, error) {
	tmp, err := os.MkdirTemp(dir, "agent-")
	if err != nil {
		return "", err
	}
	a.ends = append(a.ends, func() { os.RemoveAll(tmp) })
	socket := filepath.Join(tmp, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	out, err := agent.StdoutPipe()
	if err == nil {
		err = agent.Start()
	}
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%s is a key, and OpenSSH's ssh-agent, which would hold it, is not installed: install openssh-client, or give the socket of an agent", s.Path)
	}
	if err != nil {
		return "", err
	}
	a.ends = append(a.ends, func() {
		agent.Process.Kill()
		agent.Wait()
	})
	// It says where it listens once it does.
	if _, err := out.Read(make([]byte, 256)); err != nil {
		return "", fmt.Errorf("start ssh-agent: %w", err)
	}
	add := exec.CommandContext(ctx, "ssh-add", "-q", s.Path)
	add.Env = []string{"SSH_AUTH_SOCK=" + socket, "SSH_ASKPASS_REQUIRE=never", "PATH=" + os.Getenv("PATH")}
	if msg, err := add.CombinedOutput(); err != nil {
		return "", fmt.Errorf("take key %s: %w: %s", s.Path, err, msg)
	}
	return socket, nil
}
